"""Waiting for a lease, over several replicas on real Redis."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest

from flow2api_common.errors import DependencyUnavailable
from flow2api_token_service.leases.records import (
    IndexState,
    KeyShare,
    LeaseKind,
    LeaseRecord,
    Offer,
    Queued,
    QueuePlace,
    Refusal,
    RefusalReason,
    TakenLease,
    Verdict,
)
from flow2api_token_service.leases.waiting_line import WaitingLine
from flow2api_token_service.redis_client import KEY_PREFIX

LONG = timedelta(seconds=60)


def taken(answer: TakenLease | Refusal) -> LeaseRecord:
    assert isinstance(answer, TakenLease), answer
    return answer.lease


async def release(index, lease: LeaseRecord) -> None:
    assert (await index.release(lease, nonce=lease.lease_id, verdict=Verdict.OK)).was_live


def wait_on(replica, request, wait: timedelta = LONG) -> asyncio.Task[TakenLease | Refusal]:
    return asyncio.create_task(replica.queue.take(request, wait=wait))


async def end(tasks: Sequence[asyncio.Task]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


class TestOrder:
    async def test_first_that_came_is_served_first_whatever_its_replica(
        self, index, entry, wish, start_replica, waiting
    ):
        await index.put([entry(1)])
        replicas = [start_replica() for _ in range(3)]
        held = taken(await index.acquire(wish()))
        tasks = []
        for number in range(6):
            tasks.append(wait_on(replicas[number % 3], wish(api_key_id="key")))
            await waiting(number + 1)

        for task in tasks:
            await release(index, held)
            held = taken(await asyncio.wait_for(task, 10))

    async def test_keys_share_by_their_weights(self, index, entry, wish, start_replica, waiting):
        await index.put([entry(1)])
        await index.put_keys([KeyShare(api_key_id="heavy", weight=3)])
        replicas = [start_replica() for _ in range(2)]
        held = taken(await index.acquire(wish()))
        tasks = []
        for number, key in enumerate(("heavy", "light") * 12):
            tasks.append(wait_on(replicas[number % 2], wish(api_key_id=key)))
            await waiting(number + 1)

        served = []
        for _ in range(16):
            await release(index, held)
            (done, _) = await asyncio.wait([task for task in tasks if task], return_when=asyncio.FIRST_COMPLETED)
            (task,) = done
            tasks.remove(task)
            held = taken(task.result())
            served.append(held.api_key_id)

        assert 11 <= served.count("heavy") <= 13
        await end(tasks)

    async def test_images_that_a_key_gets_do_not_put_its_video_back(self, index, entry, wish, start_replica, waiting):
        await index.put([entry(1)])
        replica = start_replica()
        images, videos = [taken(await index.acquire(wish()))], [taken(await index.acquire(wish(kind=LeaseKind.VIDEO)))]
        video = wait_on(replica, wish(api_key_id="mixed", kind=LeaseKind.VIDEO))
        await waiting(1)
        others = [wait_on(replica, wish(api_key_id="videos", kind=LeaseKind.VIDEO)) for _ in range(8)]
        mine = [wait_on(replica, wish(api_key_id="mixed")) for _ in range(8)]
        await waiting(17)

        async def serve_next(held: list[LeaseRecord], tasks: list[asyncio.Task]) -> None:
            await release(index, held.pop())
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED, timeout=10)
            (task,) = done
            tasks.remove(task)
            held.append(taken(task.result()))

        asked = [video, *others]
        while video in asked and len(mine) > 4:
            await serve_next(images, mine)
            await serve_next(images, mine)
            await serve_next(videos, asked)

        assert video not in asked
        await end([*asked, *mine])

    async def test_newcomer_does_not_overtake(self, index, entry, wish, start_replica, waiting):
        await index.put([entry(1)])
        one, two = start_replica(), start_replica()
        held = taken(await index.acquire(wish()))
        first = wait_on(one, wish(api_key_id="a"))
        await waiting(1)

        await release(index, held)
        refusal = await two.queue.take(wish(api_key_id="b"), wait=timedelta(0))

        assert isinstance(refusal, Refusal)
        taken(await first)

    async def test_waiter_whom_nothing_suits_blocks_nobody(self, index, entry, wish, start_replica, waiting):
        await index.put([entry(1), entry(2)])
        replica = start_replica()
        one, two = taken(await index.acquire(wish())), taken(await index.acquire(wish()))
        picky = wait_on(replica, wish(api_key_id="a", excluded_token_ids=(one.token_id,)))
        await waiting(1)
        easy = wait_on(replica, wish(api_key_id="b"))
        await waiting(2)

        await release(index, one)

        assert taken(await easy).token_id == one.token_id
        assert not picky.done()
        await release(index, two)
        assert taken(await picky).token_id == two.token_id

    async def test_key_at_its_limit_waits_while_others_are_served(self, index, entry, wish, start_replica, waiting):
        await index.put([entry(1, image_limit=2)])
        await index.put_keys([KeyShare(api_key_id="small", limit=1)])
        replica = start_replica()
        small = taken(await index.acquire(wish(api_key_id="small")))
        other = taken(await index.acquire(wish()))
        second = wait_on(replica, wish(api_key_id="small"))
        await waiting(1)
        third = wait_on(replica, wish(api_key_id="big"))
        await waiting(2)

        await release(index, other)
        taken(await third)
        assert not second.done()
        await release(index, small)

        assert taken(await second).api_key_id == "small"

    async def test_raised_limit_serves_at_once_those_who_waited_for_it(
        self, index, entry, wish, start_replica, waiting
    ):
        await index.put([entry(1, image_limit=9)])
        await index.put_keys([KeyShare(api_key_id="small", limit=1)])
        replica = start_replica()
        held = taken(await index.acquire(wish(api_key_id="small")))
        second = wait_on(replica, wish(api_key_id="small"))
        await waiting(1)

        await index.put_keys([KeyShare(api_key_id="small", revision=2, limit=2)])

        assert taken(await second).lease_id != held.lease_id

    async def test_older_share_of_a_key_does_not_come_back(self, index, entry, wish):
        await index.put([entry(1, image_limit=9)])
        await index.put_keys([KeyShare(api_key_id="key", revision=3, limit=0)])

        await index.put_keys([KeyShare(api_key_id="key", revision=2, limit=5)])
        late = await index.acquire(wish(api_key_id="key"))
        await index.put_keys([KeyShare(api_key_id="key", revision=1, limit=5)], replace_all=True)

        assert isinstance(late, Refusal)
        assert late.reason is RefusalReason.KEY_BUSY
        taken(await index.acquire(wish(api_key_id="key")))


class TestWakeUp:
    async def test_release_itself_gives_the_room_to_the_waiter(self, index, entry, wish, redis):
        await index.put([entry(1)])
        line = WaitingLine(redis)
        held = taken(await index.acquire(wish()))
        place = QueuePlace(replica="r", wait=LONG, limit=10, limit_per_key=10)
        request = wish(api_key_id="key")
        assert isinstance(await line.enter(request, place), Queued)

        await release(index, held)

        assert await redis.zrange(f"{KEY_PREFIX}:live:1:image", 0, -1) == [request.lease_id]
        (offer,) = (await line.beat("r", {request.lease_id: LONG})).offers
        assert offer.ticket == request.lease_id
        accepted = await line.accept(offer, request)
        assert accepted.expire_time > datetime.now(UTC) + timedelta(seconds=40)

    async def test_end_of_a_lease_wakes(self, index, entry, wish, start_replica):
        await index.put([entry(1)])
        taken(await index.acquire(wish(duration=timedelta(milliseconds=100))))

        taken(await start_replica().queue.take(wish(), wait=LONG))

    async def test_end_of_a_rest_for_a_model_wakes(self, index, entry, wish, start_replica):
        soon = datetime.now(UTC) + timedelta(milliseconds=200)
        await index.put([entry(1, rests={"banana": soon})])

        taken(await start_replica().queue.take(wish(), wait=LONG))

    async def test_token_that_is_added_wakes(self, index, entry, wish, start_replica, waiting):
        await index.put([entry(1)])
        taken(await index.acquire(wish()))
        tasks = [wait_on(start_replica(), wish()) for _ in range(2)]
        await waiting(2)

        await index.put([entry(2, image_limit=2)])

        assert {taken(answer).token_id for answer in await asyncio.gather(*tasks)} == {2}

    async def test_waiter_is_told_when_no_token_is_left_that_could_serve(
        self, index, entry, wish, start_replica, waiting
    ):
        await index.put([entry(1)])
        taken(await index.acquire(wish()))
        task = wait_on(start_replica(), wish())
        await waiting(1)

        await index.put([entry(1, state=IndexState.OFF, revision=2)])

        assert (await task).reason is RefusalReason.NEVER

    async def test_repeat_on_another_replica_gets_the_same_lease(self, index, entry, wish, start_replica, waiting):
        await index.put([entry(1, image_limit=2)])
        held = [taken(await index.acquire(wish())) for _ in range(2)]
        tasks = [wait_on(start_replica(), wish(request_id="r")) for _ in range(2)]
        await waiting(2)

        for lease in held:
            await release(index, lease)

        first, second = await asyncio.gather(*tasks)
        assert taken(first) == taken(second)
        assert (await index.read_live([1])).tokens[1].image_leases == 1


class TestBounds:
    async def test_full_queue_refuses_at_once(self, index, entry, wish, start_replica, waiting):
        await index.put([entry(1)])
        taken(await index.acquire(wish()))
        replicas = [start_replica(queue_limit=3) for _ in range(2)]
        tasks = [wait_on(replicas[number % 2], wish()) for number in range(3)]
        await waiting(3)

        refusal = await replicas[0].queue.take(wish(), wait=LONG)

        assert refusal.reason is RefusalReason.QUEUE_FULL
        assert refusal.retry_after > timedelta(0)
        await end(tasks)

    async def test_one_key_cannot_fill_the_queue(self, index, entry, wish, start_replica, waiting):
        await index.put([entry(1)])
        held = taken(await index.acquire(wish()))
        replica = start_replica(queue_limit_per_key=2)
        tasks = [wait_on(replica, wish(api_key_id="busy")) for _ in range(2)]
        await waiting(2)

        refusal = await replica.queue.take(wish(api_key_id="busy"), wait=LONG)
        quiet = wait_on(replica, wish(api_key_id="quiet"))
        await waiting(3)

        assert refusal.reason is RefusalReason.QUEUE_FULL
        await release(index, held)
        await end([*tasks, quiet])

    async def test_waiting_ends_with_its_time(self, index, entry, wish, start_replica, waiting):
        await index.put([entry(1)])
        taken(await index.acquire(wish()))

        refusal = await start_replica().queue.take(wish(), wait=timedelta(milliseconds=100))

        assert refusal.reason is RefusalReason.BUSY
        await waiting(0)


class TestLeaving:
    async def test_cancelled_waiters_leave_the_queue_empty(self, index, entry, wish, start_replica, waiting, redis):
        await index.put([entry(1)])
        held = taken(await index.acquire(wish()))
        replicas = [start_replica() for _ in range(2)]
        tasks = [wait_on(replicas[number % 2], wish(api_key_id=f"key{number % 3}")) for number in range(9)]
        await waiting(9)

        await end(tasks)

        await waiting(0)
        assert not [key async for key in redis.scan_iter(f"{KEY_PREFIX}:wait:*")]
        await release(index, held)
        taken(await index.acquire(wish()))

    async def test_waiters_and_offers_of_a_killed_replica_vanish(self, index, entry, wish, start_replica, waiting):
        await index.put([entry(1)])
        dead, alive = start_replica(), start_replica()
        held = taken(await index.acquire(wish()))
        lost = [wait_on(dead, wish(api_key_id="a")) for _ in range(3)]
        await waiting(3)
        await dead.kill()
        assert all(
            isinstance(error, DependencyUnavailable) for error in await asyncio.gather(*lost, return_exceptions=True)
        )
        task = wait_on(alive, wish(api_key_id="b"))
        await waiting(4)

        # The first is offered to the dead replica, and lapses there.
        await release(index, held)

        taken(await asyncio.wait_for(task, 30))
        await waiting(0)

    async def test_replica_that_stops_sends_its_waiters_away(self, index, entry, wish, start_replica, waiting):
        await index.put([entry(1)])
        taken(await index.acquire(wish()))
        replica = start_replica()
        task = wait_on(replica, wish())
        await waiting(1)

        await replica.stop()

        with pytest.raises(DependencyUnavailable) as caught:
            await task
        assert caught.value.retry_after is not None
        await waiting(0)

    async def test_offer_that_lapsed_is_not_accepted(self, index, entry, wish, redis):
        await index.put([entry(1)])
        line = WaitingLine(redis)
        request = wish()
        answer = {
            "lease_id": request.lease_id,
            "token_id": "1",
            "model": "banana",
            "candidate": 0,
            "deadline_ms": 0,
            "revision": 1,
        }

        assert await line.accept(Offer(request.lease_id, answer), request) is None


class TestRedisTrouble:
    async def test_waiters_queue_up_again_after_a_flush(self, index, entry, wish, start_replica, waiting, redis):
        await index.put([entry(1)])
        replica = start_replica(entry(1))
        held = taken(await index.acquire(wish()))
        tasks = [wait_on(replica, wish(api_key_id=f"key{number}")) for number in range(3)]
        await waiting(3)

        await redis.flushall()

        # The lease that was held is not known any more until it is renewed: the first waiter gets the room.
        await waiting(2)
        assert await index.renew([held], LONG) == [None]
        while tasks:
            (done, _) = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                tasks.remove(task)
                await release(index, taken(task.result()))
