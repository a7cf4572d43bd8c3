"""Why candidates are passed by: counted by reason where it is asked, and told in words that name nobody."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from flow2api_token_service.health.states import Health, StateReason, TokenState
from flow2api_token_service.leases.passed import (
    METADATA_KEY,
    Passed,
    PassedBecause,
    to_metadata,
    why_of,
    with_reasons,
)
from flow2api_token_service.leases.records import (
    Candidate,
    IndexState,
    LeaseKind,
    OwnLimit,
    Refusal,
    RefusalReason,
    TakenLease,
)

HOUR = timedelta(hours=1)
VEO = Candidate(provider="vertex", upstream_model="veo")


@pytest.fixture
def place(entry: Any) -> Any:
    return lambda token_id, **changes: entry(token_id, provider="vertex", tier=0, credits=None, **changes)


def lacking(until: datetime) -> dict[str, Any]:
    return {"rests": {"veo": until}, "rest_reasons": {"veo": StateReason.MODEL_NOT_HERE}}


async def test_every_reason_is_counted(pool_time: Any, index: Any, entry: Any, wish: Any) -> None:
    now = pool_time()
    asked = Candidate(provider="flow", upstream_model="veo", min_tier=1, credits=20, per_minute=1)
    free_of_limits = {"image_limit": -1, "model_limits": (OwnLimit("veo", -1, None),)}
    await index.put(
        [
            entry(1, image_limit=1),
            entry(2, image_limit=-1),
            entry(3, rests={"veo": now + HOUR}, rest_reasons={"veo": StateReason.QUOTA}),
            entry(4, state=IndexState.RESTING, state_until=now + 2 * HOUR, why=PassedBecause.RATE_LIMITED),
            entry(5, state=IndexState.WATCHED, why=PassedBecause.CREDITS),
            entry(6, state=IndexState.OFF),
            entry(7, tier=0),
            entry(8, credits=19, **free_of_limits),
            entry(9, image_limit=0),
            entry(10, rests={"banana": now + HOUR}, rest_reasons={"banana": StateReason.QUOTA}, **free_of_limits),
            entry(11, **free_of_limits),
            entry(12, provider="gemini"),
        ]
    )
    held = [await index.acquire(wish(asked, excluded_token_ids=(10, 11))) for _ in range(2)]
    assert all(isinstance(each, TakenLease) for each in held)
    (passed,) = await index.explain(wish(asked, excluded_token_ids=(10,)))
    assert dict(passed.token_counts) == {
        "busy": 1,
        "minute_full": 1,
        "quota": 1,
        "rate_limited": 1,
        "credits": 2,
        "disabled": 1,
        "tier": 1,
        "kind_off": 1,
        "tried": 1,
        "free_now": 1,
    }
    assert timedelta(seconds=55) < passed.earliest - now <= timedelta(seconds=61)
    assert not passed.is_nowhere


async def test_as_many_candidates_are_told_as_were_passed(index: Any, entry: Any, place: Any, wish: Any) -> None:
    await index.put([place(1, video_limit=1), entry(2)])
    flow = Candidate(provider="flow", upstream_model="veo")
    request = wish(VEO, flow, kind=LeaseKind.VIDEO)
    await index.acquire(request)
    other = wish(VEO, flow, kind=LeaseKind.VIDEO)
    answer = await index.acquire(other)
    assert isinstance(answer, TakenLease)
    (passed,) = await index.explain(other, count=answer.candidate_index)
    assert (passed.candidate_index, dict(passed.token_counts), passed.earliest) == (0, {"busy": 1}, None)
    bound = wish(Candidate(provider="flow", upstream_model="veo", affinity_token_id=2), kind=LeaseKind.VIDEO)
    assert [dict(each.token_counts) for each in await index.explain(bound)] == [{"busy": 1}]


async def test_of_a_large_pool_some_are_looked_at(index: Any, place: Any, wish: Any) -> None:
    await index.put([place(number, state=IndexState.OFF) for number in range(1, 131)])
    (passed,) = await index.explain(wish(VEO))
    assert dict(passed.token_counts) == {"disabled": 100, "not_looked_at": 30}
    await index.remove(list(range(1, 131)))
    (passed,) = await index.explain(wish(VEO))
    assert dict(passed.token_counts) == {}


class TestModelThatIsNowhere:
    async def test_nobody_waits_for_it(self, pool_time: Any, index: Any, place: Any, wish: Any) -> None:
        tomorrow = pool_time() + timedelta(days=1)
        await index.put([place(1, **lacking(tomorrow)), place(2), place(3, state=IndexState.OFF)])
        lease = await index.acquire(wish(VEO))
        assert lease.lease.token_id == 2
        assert await index.where_it_is_nowhere(lease.lease) == ""
        await index.put([place(2, revision=2, **lacking(tomorrow))])
        assert await index.where_it_is_nowhere(lease.lease) == "vertex"
        assert await index.acquire(wish(VEO)) == Refusal(RefusalReason.NEVER)
        (passed,) = await index.explain(wish(VEO))
        assert passed.is_nowhere
        assert dict(passed.token_counts) == {"model_not_here": 2, "disabled": 1}
        # Another model is served, and this one when a location may have got it meanwhile.
        banana = Candidate(provider="vertex", upstream_model="banana")
        assert isinstance(await index.acquire(wish(banana)), TakenLease)
        pool_time.advance(timedelta(days=1, seconds=1))
        assert isinstance(await index.acquire(wish(VEO)), TakenLease)

    async def test_a_token_that_will_come_back_may_have_it(
        self, pool_time: Any, index: Any, place: Any, wish: Any
    ) -> None:
        now = pool_time()
        resting = place(2, state=IndexState.RESTING, state_until=now + HOUR, why=PassedBecause.QUOTA)
        await index.put([place(1, **lacking(now + 24 * HOUR)), resting])
        answer = await index.acquire(wish(VEO))
        assert isinstance(answer, Refusal)
        assert answer.reason is RefusalReason.BUSY
        (passed,) = await index.explain(wish(VEO))
        assert not passed.is_nowhere

    async def test_a_pool_without_the_provider_says_nothing_of_its_models(
        self, index: Any, entry: Any, wish: Any
    ) -> None:
        await index.put([entry(1)])
        assert await index.acquire(wish(VEO)) == Refusal(RefusalReason.NEVER)
        (passed,) = await index.explain(wish(VEO))
        assert not passed.is_nowhere

    async def test_many_that_lack_it_do_not_hide_the_one_that_has_it(
        self, pool_time: Any, index: Any, place: Any, wish: Any
    ) -> None:
        tomorrow = pool_time() + timedelta(days=1)
        await index.put([place(number, **lacking(tomorrow)) for number in range(1, 60)] + [place(60)])
        assert isinstance(await index.acquire(wish(VEO, excluded_token_ids=(1, 2))), TakenLease)
        (passed,) = await index.explain(wish(VEO))
        assert not passed.is_nowhere


@pytest.mark.parametrize(
    ("counts", "sentence"),
    [
        ({}, "No account is free."),
        ({"busy": 3}, "No account is free. All of them are busy."),
        ({"quota": 3, "busy": 1}, "No account is free. Some are busy, others have used up the day's quota."),
        ({"busy": 3, "free_now": 1}, "No account is free. Some of them are busy."),
        ({"a word of tomorrow": 1}, "No account is free."),
    ],
)
def test_the_sentence_for_clients_has_no_numbers(counts: dict[str, int], sentence: str) -> None:
    assert with_reasons("No account is free.", [Passed(0, counts)]) == sentence


def test_what_errors_carry() -> None:
    assert to_metadata(()) == {}
    carried = to_metadata([Passed(1, {"busy": 2}, datetime(2026, 11, 24, tzinfo=UTC), is_nowhere=True)])
    assert json.loads(carried[METADATA_KEY]) == [
        {"candidate": 1, "tokens": {"busy": 2}, "until_ms": 1_795_478_400_000, "nowhere": True}
    ]


@pytest.mark.parametrize("state", list(TokenState))
@pytest.mark.parametrize("reason", [*StateReason, "word of an administrator"])
def test_every_state_has_a_word(state: TokenState, reason: str) -> None:
    why = why_of(Health(state=state, reason=reason, since=datetime(2026, 11, 24, tzinfo=UTC)))
    assert (why is None) == (state is TokenState.ACTIVE)
