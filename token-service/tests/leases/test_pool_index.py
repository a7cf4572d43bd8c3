"""The contract of the pool index, on real Redis."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from flow2api_common.errors import DependencyUnavailable
from flow2api_common.settings import load_settings
from flow2api_testing.waiting import eventually
from flow2api_token_service.leases.lua_values import IndexMissing
from flow2api_token_service.leases.pool_index import PoolIndex
from flow2api_token_service.leases.records import (
    Candidate,
    IndexState,
    KeyShare,
    LeaseKind,
    Refusal,
    RefusalReason,
    TakenLease,
    Verdict,
)
from flow2api_token_service.redis_client import KEY_PREFIX, open_redis
from flow2api_token_service.settings import RedisSettings

FLOW = Candidate(provider="flow", upstream_model="banana")


def taken(answer: TakenLease | Refusal) -> TakenLease:
    assert isinstance(answer, TakenLease), answer
    return answer


def refused(answer: TakenLease | Refusal) -> RefusalReason:
    assert isinstance(answer, Refusal), answer
    return answer.reason


async def release(index: PoolIndex, lease: TakenLease, verdict: Verdict = Verdict.OK, **kwargs):
    return await index.release(lease.lease, nonce="n", verdict=verdict, **kwargs)


def in_one_hour() -> datetime:
    return datetime.now(UTC) + timedelta(hours=1)


class TestAcquire:
    async def test_takes_the_least_loaded_token_and_the_longest_unused_among_equals(self, index, entry, wish):
        await index.put([entry(1, image_limit=2), entry(2, image_limit=4)])

        tokens = [taken(await index.acquire(wish())).lease.token_id for _ in range(6)]

        # Loads after each take: 1/2 0/4, 1/2 1/4, 1/2 2/4, (equal: 1 rested longer) 2/2 2/4, then only 2 is left.
        assert tokens == [1, 2, 2, 1, 2, 2]
        assert refused(await index.acquire(wish())) is RefusalReason.BUSY

    async def test_spreads_over_unlimited_tokens(self, index, entry, wish):
        await index.put([entry(number, image_limit=-1) for number in (1, 2, 3)])

        tokens = [taken(await index.acquire(wish())).lease.token_id for _ in range(9)]

        assert sorted(tokens) == [1, 1, 1, 2, 2, 2, 3, 3, 3]

    async def test_kinds_have_limits_of_their_own(self, index, entry, wish):
        await index.put([entry(1)])

        taken(await index.acquire(wish(kind=LeaseKind.IMAGE)))
        taken(await index.acquire(wish(kind=LeaseKind.VIDEO)))

        assert refused(await index.acquire(wish(kind=LeaseKind.VIDEO))) is RefusalReason.BUSY

    async def test_repeat_of_a_request_gets_the_same_lease(self, index, entry, wish):
        await index.put([entry(1, image_limit=-1), entry(2, image_limit=-1)])
        first = taken(await index.acquire(wish(request_id="r")))

        second = taken(await index.acquire(wish(request_id="r")))

        assert second.lease == first.lease
        assert second.expire_time == first.expire_time
        assert (await index.read_live([1, 2])).image_leases == 1

    async def test_released_request_can_be_repeated_for_a_new_lease(self, index, entry, wish):
        await index.put([entry(1)])
        first = taken(await index.acquire(wish(request_id="r")))
        await release(index, first)

        second = taken(await index.acquire(wish(request_id="r")))

        assert second.lease.lease_id != first.lease.lease_id

    async def test_skips_excluded_tokens(self, index, entry, wish):
        await index.put([entry(1), entry(2)])

        lease = taken(await index.acquire(wish(excluded_token_ids=(1,))))

        assert lease.lease.token_id == 2
        assert refused(await index.acquire(wish(excluded_token_ids=(1, 2)))) is RefusalReason.NEVER

    async def test_needs_the_tier_or_a_higher_one(self, index, entry, wish):
        await index.put([entry(1, tier=1), entry(2, tier=3)])
        candidate = Candidate(provider="flow", upstream_model="banana", min_tier=2)

        assert taken(await index.acquire(wish(candidate))).lease.token_id == 2
        assert refused(await index.acquire(wish(candidate))) is RefusalReason.BUSY

    async def test_needs_the_credits(self, index, entry, wish):
        await index.put([entry(1, credits=5), entry(2, credits=50), entry(3, credits=None, tier=3)])
        candidate = Candidate(provider="flow", upstream_model="banana", credits=20)

        tokens = {taken(await index.acquire(wish(candidate))).lease.token_id for _ in range(2)}

        assert tokens == {2, 3}
        assert refused(await index.acquire(wish(candidate))) is RefusalReason.BUSY

    async def test_affinity_binds_to_one_token(self, index, entry, wish):
        await index.put([entry(1), entry(2)])
        candidate = Candidate(provider="flow", upstream_model="banana", affinity_token_id=2)

        assert taken(await index.acquire(wish(candidate))).lease.token_id == 2
        assert refused(await index.acquire(wish(candidate))) is RefusalReason.BUSY

    async def test_affinity_to_an_unknown_token_can_never_be_served(self, index, entry, wish):
        await index.put([entry(1)])
        candidate = Candidate(provider="flow", upstream_model="banana", affinity_token_id=7)

        assert refused(await index.acquire(wish(candidate))) is RefusalReason.NEVER

    async def test_takes_the_first_candidate_that_has_a_token_free(self, index, entry, wish):
        await index.put([entry(1), entry(2, provider="gemini")])
        candidates = (FLOW, Candidate(provider="gemini", upstream_model="omni"))

        answers = [taken(await index.acquire(wish(*candidates))) for _ in range(2)]

        assert [(answer.candidate_index, answer.lease.token_id) for answer in answers] == [(0, 1), (1, 2)]
        assert answers[1].lease.upstream_model == "omni"

    async def test_rest_for_a_model_hides_the_token_for_that_model_only(self, index, entry, wish):
        await index.put([entry(1, rests={"banana": in_one_hour()})])

        refusal = await index.acquire(wish())

        assert refused(refusal) is RefusalReason.BUSY
        assert timedelta(minutes=55) < refusal.retry_after <= timedelta(hours=1)
        taken(await index.acquire(wish(Candidate(provider="flow", upstream_model="apple"))))

    async def test_finds_the_free_token_behind_many_that_the_filters_exclude(self, index, entry, wish):
        rests = {"banana": in_one_hour()}
        await index.put([entry(number, rests=rests) for number in range(1, 101)])
        await index.put([entry(999)])

        assert taken(await index.acquire(wish())).lease.token_id == 999

    async def test_resting_token_comes_back_by_itself(self, index, entry, wish):
        soon = datetime.now(UTC) + timedelta(milliseconds=200)
        await index.put([entry(1, state=IndexState.RESTING, state_until=soon)])
        assert refused(await index.acquire(wish())) is RefusalReason.BUSY

        async def comes_back():
            return isinstance(await index.acquire(wish()), TakenLease)

        await eventually(comes_back)

    async def test_token_that_waits_for_a_person_can_never_serve(self, index, entry, wish):
        await index.put([entry(1, state=IndexState.OFF)])

        assert refused(await index.acquire(wish())) is RefusalReason.NEVER

    async def test_token_that_waits_for_a_look_is_waited_for(self, index, entry, wish):
        await index.put([entry(1, state=IndexState.WATCHED)])

        assert refused(await index.acquire(wish())) is RefusalReason.BUSY

    async def test_switched_off_kind_can_never_be_served(self, index, entry, wish):
        await index.put([entry(1, image_limit=0)])

        assert refused(await index.acquire(wish())) is RefusalReason.NEVER
        taken(await index.acquire(wish(kind=LeaseKind.VIDEO)))

    async def test_api_key_has_a_limit_of_its_own(self, index, entry, wish):
        await index.put([entry(1, image_limit=-1)])
        await index.put_keys([KeyShare(api_key_id="key", limit=2), KeyShare(api_key_id="other")])
        first = taken(await index.acquire(wish(api_key_id="key")))
        taken(await index.acquire(wish(api_key_id="key", kind=LeaseKind.VIDEO)))

        assert refused(await index.acquire(wish(api_key_id="key"))) is RefusalReason.KEY_BUSY
        taken(await index.acquire(wish(api_key_id="other")))
        await release(index, first)
        taken(await index.acquire(wish(api_key_id="key")))

    async def test_200_concurrent_callers_never_exceed_the_limits(self, index, entry, wish, redis_url):
        await index.put([entry(number, image_limit=3) for number in range(1, 6)])
        clients = [open_redis(load_settings(RedisSettings, redis_url=redis_url)) for _ in range(4)]
        replicas = [PoolIndex(client) for client in clients]
        holders: dict[int, int] = dict.fromkeys(range(1, 6), 0)
        highest = 0

        async def work(number: int) -> int:
            nonlocal highest
            replica, done = replicas[number % 4], 0
            while done < 3:
                answer = await replica.acquire(wish())
                if isinstance(answer, Refusal):
                    await asyncio.sleep(0)
                    continue
                token_id = answer.lease.token_id
                holders[token_id] += 1
                highest = max(highest, holders[token_id])
                await asyncio.sleep(0)
                holders[token_id] -= 1
                await release(replica, answer)
                done += 1
            return done

        results = await asyncio.gather(*(work(number) for number in range(200)))

        assert sum(results) == 600
        assert highest == 3
        assert (await index.read_live([])).image_leases == 0
        for client in clients:
            await client.aclose()


class TestRestoring:
    """After Redis has lost everything."""

    async def test_no_video_is_begun_while_lost_leases_come_back(self, redis, index, entry, wish):
        await index.put([entry(1, video_limit=2)])
        lost = taken(await index.acquire(wish(kind=LeaseKind.VIDEO))).lease
        await redis.flushall()
        await index.put([entry(1, video_limit=2)])
        await index.begin_restoring(timedelta(minutes=1))
        await index.mark_built("another epoch")

        assert await index.is_restoring()
        assert refused(await index.acquire(wish(kind=LeaseKind.VIDEO))) is RefusalReason.BUSY
        assert taken(await index.acquire(wish())).lease.token_id == 1
        assert await index.renew([lost], timedelta(minutes=5)) != [None]
        assert (await index.read_live([1])).video_leases == 1

    async def test_it_ends_by_itself(self, index, entry, wish):
        await index.put([entry(1)])
        await index.begin_restoring(timedelta(milliseconds=50))

        async def video_lease() -> TakenLease:
            return taken(await index.acquire(wish(kind=LeaseKind.VIDEO)))

        assert (await eventually(video_lease)).lease.token_id == 1

    async def test_it_ends_a_while_after_all_videos_are_known(self, redis, index, entry, wish):
        await index.put([entry(1)])
        await index.begin_restoring(timedelta(hours=2))
        await index.finish_restoring(timedelta(minutes=1))
        assert refused(await index.acquire(wish(kind=LeaseKind.VIDEO))) is RefusalReason.BUSY

        # A second replica of the generation service says so later: the while is not begun anew.
        await index.finish_restoring(timedelta(hours=1))
        assert await redis.pttl(f"{KEY_PREFIX}:restoring") <= 60_000

    async def test_it_waits_for_who_knows_the_videos(self, redis, index, entry):
        await index.put([entry(1)])
        await index.finish_restoring(timedelta(minutes=1))
        assert not await index.is_restoring()
        await index.begin_restoring(timedelta(hours=1))
        assert await redis.pttl(f"{KEY_PREFIX}:restoring") > 60_000

    async def test_a_pool_without_tokens_has_nothing_to_wait_for(self, index):
        await index.begin_restoring(timedelta(minutes=1))
        assert not await index.is_restoring()


class TestExpiry:
    async def test_lease_ends_by_itself_and_its_room_is_free(self, index, entry, wish):
        await index.put([entry(1)])
        taken(await index.acquire(wish(duration=timedelta(milliseconds=100))))

        async def is_free():
            return isinstance(await index.acquire(wish()), TakenLease)

        await eventually(is_free)

    async def test_sweep_ends_leases_that_nobody_looks_at(self, index, entry, wish, redis):
        await index.put([entry(1, image_limit=-1)])
        for _ in range(150):
            taken(await index.acquire(wish(duration=timedelta(milliseconds=50), api_key_id="key")))

        async def swept():
            while await index.sweep():
                pass
            return not [name async for name in redis.scan_iter("*live*")]

        await eventually(swept)
        assert not [name async for name in redis.scan_iter("*:lease:*")]
        assert not [name async for name in redis.scan_iter("*:request:*")]


class TestRenew:
    async def test_moves_the_deadline(self, index, entry, wish):
        await index.put([entry(1)])
        lease = taken(await index.acquire(wish(duration=timedelta(seconds=5))))

        (deadline,) = await index.renew([lease.lease], timedelta(minutes=10))

        assert deadline is not None
        assert deadline > lease.expire_time + timedelta(minutes=9)

    async def test_takes_a_lost_lease_back_in_where_there_is_room(self, index, entry, wish, redis):
        await index.put([entry(1)])
        held = taken(await index.acquire(wish()))
        other = taken(await index.acquire(wish(kind=LeaseKind.VIDEO)))
        await redis.flushall()
        await index.put([entry(1)])
        await index.mark_built("again")
        taken(await index.acquire(wish(kind=LeaseKind.VIDEO)))

        renewed = await index.renew([held.lease, other.lease], timedelta(minutes=1))

        assert renewed[0] is not None
        assert renewed[1] is None
        assert refused(await index.acquire(wish())) is RefusalReason.BUSY

    async def test_does_not_bring_a_released_lease_back(self, index, entry, wish):
        await index.put([entry(1)])
        lease = taken(await index.acquire(wish()))
        await release(index, lease)

        assert await index.renew([lease.lease], timedelta(minutes=1)) == [None]


class TestRelease:
    async def test_frees_the_room_once(self, index, entry, wish):
        await index.put([entry(1, image_limit=2)])
        first, second = taken(await index.acquire(wish())), taken(await index.acquire(wish()))

        answers = [await index.release(first.lease, nonce=nonce, verdict=Verdict.OK) for nonce in ("a", "b")]

        assert [(answer.was_live, answer.is_first) for answer in answers] == [(True, True), (False, False)]
        assert (await index.read_live([1])).tokens[1].image_leases == 1
        await release(index, second)

    async def test_keeps_the_room_for_what_may_still_run(self, index, entry, wish):
        await index.put([entry(1)])
        lease = taken(await index.acquire(wish()))

        released = await release(index, lease, Verdict.ERROR, hold=timedelta(minutes=1))

        assert (released.was_live, released.is_first) == (True, True)
        assert refused(await index.acquire(wish())) is RefusalReason.BUSY
        assert not (await index.release(lease.lease, nonce="later", verdict=Verdict.ERROR)).is_first
        taken(await index.acquire(wish()))

    async def test_holds_no_lease_that_is_over(self, index, entry, wish):
        await index.put([entry(1)])
        lease = taken(await index.acquire(wish()))
        await release(index, lease)

        assert not (await release(index, lease, hold=timedelta(minutes=1))).was_live
        taken(await index.acquire(wish()))

    async def test_counts_an_outcome_once(self, index, entry, wish):
        await index.put([entry(1)])
        lease = taken(await index.acquire(wish()))

        for nonce in ("a", "b"):
            await index.release(lease.lease, nonce=nonce, verdict=Verdict.OK, output_count=2, remaining_credits=80)

        stats = (await index.read_live([1])).tokens[1].pending_stats
        assert (stats["uses"], stats["successes"], stats["images"], stats["credits"]) == ("1", "1", "2", "80")

    async def test_a_balance_on_release_never_hides_a_lower_one_of_the_last_minute(self, index, entry, wish):
        await index.put([entry(1)])
        lease = taken(await index.acquire(wish()))
        await index.report_credits(1, 60, age=timedelta(seconds=1), call_duration=timedelta(seconds=1))
        await index.release(lease.lease, nonce="a", verdict=Verdict.OK, remaining_credits=80)
        assert (await index.read_live([1])).tokens[1].pending_stats["credits"] == "60"

    async def test_late_outcome_counts_too(self, index, entry, wish):
        await index.put([entry(1)])
        lease = taken(await index.acquire(wish(duration=timedelta(milliseconds=1))))

        async def is_over():
            return (await index.read_live([1])).image_leases == 0

        await eventually(is_over)
        answer = await release(index, lease, Verdict.ERROR)

        assert (answer.was_live, answer.is_first) == (False, True)
        assert (await index.read_live([1])).tokens[1].pending_stats["errors"] == "1"


class TestPut:
    async def test_older_revision_does_not_replace_a_newer_one(self, index, entry, wish):
        await index.put([entry(1, revision=5, state=IndexState.OFF)])
        await index.put([entry(1, revision=4, state=IndexState.ACTIVE)])

        assert refused(await index.acquire(wish())) is RefusalReason.NEVER

    async def test_limits_change_without_losing_what_is_in_flight(self, index, entry, wish):
        await index.put([entry(1, image_limit=3)])
        leases = [taken(await index.acquire(wish())) for _ in range(3)]

        await index.put([entry(1, image_limit=1, revision=2)])
        assert (await index.read_live([1])).tokens[1].image_leases == 3
        for lease in leases[:2]:
            await release(index, lease)
            assert refused(await index.acquire(wish())) is RefusalReason.BUSY
        await release(index, leases[2])
        taken(await index.acquire(wish()))

        await index.put([entry(1, image_limit=2, revision=3)])
        taken(await index.acquire(wish()))

    async def test_removed_token_is_not_chosen_and_its_leases_run_to_their_end(self, index, entry, wish):
        await index.put([entry(1)])
        lease = taken(await index.acquire(wish()))

        await index.remove([1])

        assert refused(await index.acquire(wish())) is RefusalReason.NEVER
        assert (await index.renew([lease.lease], timedelta(minutes=1)))[0] is not None
        assert (await release(index, lease)).was_live

    async def test_change_of_tier_moves_the_token(self, index, entry, wish):
        await index.put([entry(1, tier=1)])
        await index.put([entry(1, tier=3, revision=2)])
        ultra = Candidate(provider="flow", upstream_model="banana", min_tier=3)

        taken(await index.acquire(wish(ultra)))
        assert refused(await index.acquire(wish())) is RefusalReason.BUSY


class TestStats:
    async def test_batch_is_answered_until_it_is_dropped(self, index, entry, wish):
        await index.put([entry(1)])
        await release(index, taken(await index.acquire(wish())))

        first, second = await index.take_stats("a", 10), await index.take_stats("b", 10)

        assert first == second
        assert first.batch_id == "a"
        assert first.counters[1]["successes"] == "1"
        await index.drop_stats("a")
        assert await index.take_stats("c", 10) is None


class TestRedisTrouble:
    async def test_flushed_redis_asks_for_a_rebuild(self, index, entry, wish, redis):
        await index.put([entry(1)])
        await redis.flushall()

        with pytest.raises(IndexMissing):
            await index.acquire(wish())

    async def test_redis_that_is_away_is_a_dependency_that_is_away(self, tmp_path, wish):
        client = open_redis(load_settings(RedisSettings, redis_url=f"unix://{tmp_path}/nobody.sock"))

        with pytest.raises(DependencyUnavailable) as caught:
            await PoolIndex(client).acquire(wish())

        assert caught.value.retry_after is not None
        await client.aclose()


class TestReportCredits:
    """Told as (seconds since the call began, seconds since its answer came, balance)."""

    @pytest.mark.parametrize(
        ("told", "known"),
        [
            ([(9, 8, 80), (7, 6, 60)], 60),
            ([(7, 6, 60), (9, 8, 80)], 60),
            # The first was answered last: which of the two was charged first is not known.
            ([(9, 5, 80), (8, 7, 60)], 60),
            ([(8, 7, 60), (9, 5, 80)], 60),
            # Credits were bought in between.
            ([(9, 8, 60), (7, 6, 900)], 900),
            ([(9, 5, 80), (8, 7, 60), (4, 3, 900)], 900),
            ([(9, 8, 80), (9, 8, 80)], 80),
        ],
    )
    async def test_reports_may_come_in_any_order(self, index, entry, told, known):
        await index.put([entry(1, credits=100)])
        for asked, answered, balance in told:
            await index.report_credits(
                1, balance, age=timedelta(seconds=answered), call_duration=timedelta(seconds=asked - answered)
            )
        assert (await index.read_live([1])).tokens[1].pending_stats["credits"] == str(known)

    async def test_what_was_seen_upstream_since_wins(self, index, entry):
        await index.put([entry(1, credits=500, revision=2)], credits_are_fresh=True)
        await index.report_credits(1, 80, age=timedelta(seconds=5), call_duration=timedelta(seconds=1))
        assert "credits" not in (await index.read_live([1])).tokens[1].pending_stats

    async def test_decides_who_can_pay(self, index, entry, wish):
        await index.put([entry(1, credits=100)])
        await index.report_credits(1, 10, age=timedelta(0), call_duration=timedelta(0))
        answer = await index.acquire(wish(Candidate(provider="flow", upstream_model="m", credits=20)))
        assert not isinstance(answer, TakenLease)

    async def test_a_token_that_is_gone_stays_gone(self, index, redis):
        await index.report_credits(7, 10, age=timedelta(0), call_duration=timedelta(0))
        assert not await redis.keys("*token:7*")
