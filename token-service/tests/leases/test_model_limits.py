"""Limits per model that are known ahead: per minute and at the same time, on one token, whatever happens."""

from __future__ import annotations

import asyncio
import random
from datetime import datetime, timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from flow2api_token_service.leases import queue
from flow2api_token_service.leases.model_limits import ModelLimits
from flow2api_token_service.leases.records import (
    Candidate,
    LeaseKind,
    LeaseRecord,
    OwnLimit,
    Refusal,
    RefusalReason,
    TakenLease,
    Verdict,
)
from flow2api_token_service.settings import ModelLimit, PoolSettings

MINUTE = timedelta(minutes=1)


def veo(*, per_minute: int = -1, at_once: int = -1, model: str = "veo-3.1") -> Candidate:
    return Candidate(provider="vertex", upstream_model=model, per_minute=per_minute, at_once=at_once)


def taken(answer: TakenLease | Refusal) -> LeaseRecord:
    assert isinstance(answer, TakenLease), answer
    return answer.lease


@pytest.fixture
def token(entry: Any) -> Any:
    return lambda token_id, **changes: entry(token_id, provider="vertex", image_limit=-1, video_limit=-1, **changes)


class TestPerMinute:
    async def test_more_than_the_minute_holds_are_told_when_it_has_room(
        self, pool_time: Any, index: Any, token: Any, wish: Any
    ) -> None:
        await index.put([token(1)])
        for _ in range(2):
            lease = taken(await index.acquire(wish(veo(per_minute=2))))
            assert (await index.release(lease, nonce="n", verdict=Verdict.OK)).was_live
            pool_time.advance(timedelta(seconds=20))
        refusal = await index.acquire(wish(veo(per_minute=2)))
        assert isinstance(refusal, Refusal)
        assert refusal.reason is RefusalReason.BUSY
        assert timedelta(seconds=19) < refusal.retry_after <= timedelta(seconds=20)
        # Another model, and the other token, are not concerned.
        taken(await index.acquire(wish(veo(per_minute=2, model="veo-3.1-fast"))))
        await index.put([token(2)])
        assert taken(await index.acquire(wish(veo(per_minute=2)))).token_id == 2
        pool_time.advance(timedelta(seconds=20))
        assert {taken(await index.acquire(wish(veo(per_minute=2)))).token_id for _ in range(2)} == {1, 2}

    async def test_a_lease_that_was_not_used_does_not_count(self, index: Any, token: Any, wish: Any) -> None:
        await index.put([token(1)])
        unused = taken(await index.acquire(wish(veo(per_minute=1))))
        await index.release(unused, nonce="n", verdict=Verdict.NEUTRAL, was_unused=True)
        given_back = wish(veo(per_minute=1))
        taken(await index.acquire(given_back))
        await index.give_back(given_back)
        used = taken(await index.acquire(wish(veo(per_minute=1))))
        await index.release(used, nonce="n", verdict=Verdict.ERROR)
        assert isinstance(await index.acquire(wish(veo(per_minute=1))), Refusal)

    async def test_who_waits_is_served_when_the_minute_has_room(
        self, pool_time: Any, index: Any, token: Any, wish: Any, start_replica: Any, waiting: Any, monkeypatch: Any
    ) -> None:
        monkeypatch.setattr(queue, "_BEAT", timedelta(milliseconds=20))
        await index.put([token(1)])
        replica = start_replica()
        taken(await index.acquire(wish(veo(per_minute=1))))
        task = asyncio.create_task(replica.queue.take(wish(veo(per_minute=1)), wait=MINUTE * 5))
        await waiting(1)
        pool_time.advance(timedelta(seconds=3))
        assert not task.done()
        for _ in range(19):
            pool_time.advance(timedelta(seconds=3))
            await asyncio.sleep(0)
        taken(await asyncio.wait_for(task, 10))


class TestAtOnce:
    async def test_the_end_of_one_lets_the_next_begin(
        self, index: Any, token: Any, wish: Any, start_replica: Any, waiting: Any
    ) -> None:
        await index.put([token(1)])
        replica = start_replica()
        first = taken(await index.acquire(wish(veo(at_once=2), kind=LeaseKind.VIDEO)))
        taken(await index.acquire(wish(veo(at_once=2), kind=LeaseKind.VIDEO)))
        next_wish = wish(veo(at_once=2), kind=LeaseKind.VIDEO)
        task = asyncio.create_task(replica.queue.take(next_wish, wait=MINUTE))
        await waiting(1)
        await index.release(first, nonce="n", verdict=Verdict.OK)
        taken(await asyncio.wait_for(task, 10))

    async def test_leases_that_come_back_after_a_flush_count(self, index: Any, token: Any, wish: Any) -> None:
        await index.put([token(1)])
        lease = LeaseRecord(lease_id="l1", token_id=1, kind=LeaseKind.VIDEO, api_key_id="", upstream_model="veo-3.1")
        assert (await index.renew([lease], MINUTE))[0] is not None
        assert isinstance(await index.acquire(wish(veo(at_once=1), kind=LeaseKind.VIDEO)), Refusal)

    async def test_the_next_candidate_serves_meanwhile(self, index: Any, token: Any, wish: Any, entry: Any) -> None:
        await index.put([token(1), entry(2)])
        flow = Candidate(provider="flow", upstream_model="veo_3_1")
        for candidate_index in (0, 1):
            answer = await index.acquire(wish(veo(at_once=1), flow))
            assert isinstance(answer, TakenLease)
            assert answer.candidate_index == candidate_index


async def test_a_tokens_own_limits_come_first(index: Any, token: Any, wish: Any) -> None:
    own = (OwnLimit("veo-3.1-f*", -1, 2), OwnLimit("veo-*", 1, -1))
    await index.put([token(1, model_limits=own)])
    for _ in range(2):
        taken(await index.acquire(wish(veo(at_once=1, model="veo-3.1-fast"))))
    assert isinstance(await index.acquire(wish(veo(at_once=1, model="veo-3.1-fast"))), Refusal)
    taken(await index.acquire(wish(veo(per_minute=5))))
    assert isinstance(await index.acquire(wish(veo(per_minute=5))), Refusal)


async def test_what_a_tokens_own_limit_does_not_say_is_that_of_the_setting(index: Any, token: Any, wish: Any) -> None:
    await index.put([token(1, model_limits=(OwnLimit("veo-*", None, 2), OwnLimit("*", 1, None)))])
    taken(await index.acquire(wish(veo(per_minute=1, at_once=5))))
    assert isinstance(await index.acquire(wish(veo(per_minute=1, at_once=5))), Refusal)
    taken(await index.acquire(wish(veo(per_minute=-1, at_once=1))))
    assert isinstance(await index.acquire(wish(veo(per_minute=-1, at_once=5))), Refusal)


class TestSharedQuotas:
    async def test_tokens_of_a_project_are_counted_together(self, index: Any, token: Any, wish: Any) -> None:
        await index.put([token(1, quota_group="p"), token(2, quota_group="p"), token(3)])
        found = [taken(await index.acquire(wish(veo(at_once=1)))).token_id for _ in range(2)]
        assert 3 in found
        assert isinstance(await index.acquire(wish(veo(at_once=1))), Refusal)

    async def test_their_minute_is_one(self, index: Any, token: Any, wish: Any) -> None:
        await index.put([token(1, quota_group="p"), token(2, quota_group="p")])
        unused = taken(await index.acquire(wish(veo(per_minute=2))))
        taken(await index.acquire(wish(veo(per_minute=2))))
        assert isinstance(await index.acquire(wish(veo(per_minute=2))), Refusal)
        await index.release(unused, nonce="n", verdict=Verdict.NEUTRAL, was_unused=True)
        taken(await index.acquire(wish(veo(per_minute=2))))

    async def test_a_lease_ends_where_it_was_counted(self, index: Any, token: Any, wish: Any) -> None:
        await index.put([token(1, quota_group="p"), token(2, quota_group="p")])
        lease = taken(await index.acquire(wish(veo(at_once=1))))
        moved = lease.token_id
        await index.put([token(moved, quota_group="q", revision=2)])
        await index.release(lease, nonce="n", verdict=Verdict.OK)
        assert {taken(await index.acquire(wish(veo(at_once=1)))).token_id for _ in range(2)} == {1, 2}


def test_limits_of_the_settings() -> None:
    limits = ModelLimits(PoolSettings().model_limits)
    assert limits.of("vertex", "veo-3.1-generate-001") == ModelLimit(requests_per_minute=50, concurrency=10)
    assert limits.of("flow", "veo_3_1_t2v_fast") == ModelLimit()
    (candidate,) = limits.applied([Candidate(provider="vertex", upstream_model="veo-3.1-fast-generate-001")])
    assert (candidate.per_minute, candidate.at_once) == (50, 10)
    with pytest.raises(ValidationError, match="switch a route off"):
        ModelLimit(requests_per_minute=0)


@pytest.mark.parametrize("seed", range(3))
async def test_no_minute_and_no_moment_ever_holds_too_much(
    pool_time: Any, index: Any, token: Any, wish: Any, seed: int
) -> None:
    """Random histories: takes, ends of all kinds, leases that run out, time that passes."""
    dice = random.Random(seed)
    await index.put([token(number) for number in (1, 2)])
    candidate = veo(per_minute=3, at_once=2)
    held: dict[str, tuple[LeaseRecord, datetime]] = {}
    begun: dict[int, list[tuple[str, datetime]]] = {1: [], 2: []}
    refused = 0
    for _ in range(250):
        now = pool_time()
        held = {lease_id: each for lease_id, each in held.items() if each[1] > now}
        what = dice.choice(["take", "take", "take", "release", "unused", "time"])
        if what == "take":
            answer = await index.acquire(wish(candidate, duration=timedelta(seconds=30)))
            if isinstance(answer, TakenLease):
                token_id = answer.lease.token_id
                held[answer.lease.lease_id] = (answer.lease, answer.expire_time)
                begun[token_id].append((answer.lease.lease_id, now))
            else:
                refused += 1
        elif what == "time":
            pool_time.advance(timedelta(seconds=dice.uniform(0.5, 12)))
        elif held:
            lease, _ = held.pop(dice.choice(sorted(held)))
            await index.release(lease, nonce="n", verdict=Verdict.NEUTRAL, was_unused=what == "unused")
            if what == "unused":
                begun[lease.token_id] = [each for each in begun[lease.token_id] if each[0] != lease.lease_id]
        for token_id, times in begun.items():
            # The machine's clock and that of Redis are read a moment apart.
            window = pool_time() - MINUTE + timedelta(seconds=0.2)
            assert sum(time > window for _, time in times) <= 3
            assert sum(lease.token_id == token_id for lease, _ in held.values()) <= 2
    assert refused > 10
