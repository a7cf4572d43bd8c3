"""Which token is chosen, by strategy."""

from __future__ import annotations

from collections import Counter

import pytest

from flow2api_token_service.leases.records import Candidate, Refusal, Strategy, TakenLease, Verdict


async def take(index, request) -> int:
    answer = await index.acquire(request)
    assert isinstance(answer, TakenLease)
    return answer.lease.token_id


async def test_round_robin_goes_around_whatever_the_load(index, entry, wish):
    await index.put_strategy(Strategy.ROUND_ROBIN)
    await index.put([entry(1, image_limit=100), entry(2, image_limit=3), entry(3, image_limit=3)])

    assert [await take(index, wish()) for _ in range(6)] == [1, 2, 3, 1, 2, 3]


async def test_random_reaches_every_token_of_every_tier(index, entry, wish):
    await index.put_strategy(Strategy.RANDOM)
    await index.put([entry(number, tier=1 + number % 3, image_limit=-1) for number in range(1, 7)])

    chosen = Counter([await take(index, wish()) for _ in range(600)])

    assert set(chosen) == {1, 2, 3, 4, 5, 6}
    assert min(chosen.values()) > 50


@pytest.mark.parametrize("strategy", list(Strategy))
async def test_every_strategy_keeps_limits_and_filters(index, entry, wish, strategy):
    await index.put_strategy(strategy)
    await index.put([entry(1, image_limit=2), entry(2, credits=1), entry(3)])
    candidate = Candidate(provider="flow", upstream_model="banana", credits=50)

    chosen = [await take(index, wish(candidate)) for _ in range(3)]

    assert sorted(chosen) == [1, 1, 3]
    assert isinstance(await index.acquire(wish(candidate)), Refusal)


async def test_change_of_strategy_holds_from_the_next_put(index, entry, wish):
    entries = [entry(1, image_limit=4), entry(2, image_limit=1)]
    await index.put(entries)
    first = await index.acquire(wish())
    await index.put_strategy(Strategy.ROUND_ROBIN)
    await index.put(entries)

    assert [await take(index, wish()) for _ in range(2)] == [2, 1]
    assert (await index.release(first.lease, nonce="n", verdict=Verdict.OK)).was_live
