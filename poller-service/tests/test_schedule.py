"""When operations are looked at."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest

from flow2api_poller_service.carry import Carried
from flow2api_poller_service.look_rule import LookCosts
from flow2api_poller_service.schedule import Schedule, Subject

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
FAR = NOW + timedelta(hours=1)
COSTS = LookCosts(look=1.0, shortest=1.0, longest=120.0)
ADAPTIVE = Schedule(costs=COSTS, fixed=None)
FIXED = Schedule(costs=COSTS, fixed=timedelta(seconds=2))
SPIKE = Subject(token_id=7, submit_time=NOW, quantiles=(20.0, 20.2, 20.4), usual=90.0)
BROAD = Subject(token_id=7, submit_time=NOW, quantiles=tuple(60.0 + 2 * number for number in range(31)), usual=90.0)


def looks_at(subject: Subject, count: int) -> list[datetime]:
    """The looks at an operation that never gets ready."""
    times = [ADAPTIVE.first_look(subject)]
    while len(times) < count:
        times.append(times[-1] + ADAPTIVE.next_delay(subject, now=times[-1], deadline_time=FAR))
    return times


def test_the_first_look_comes_when_completion_is_likely() -> None:
    assert timedelta(seconds=20.4) <= ADAPTIVE.first_look(SPIKE) - NOW <= timedelta(seconds=20.9)
    assert timedelta(seconds=60) <= ADAPTIVE.first_look(BROAD) - NOW <= timedelta(seconds=90)


def test_a_fixed_delay_takes_the_place_of_every_other() -> None:
    assert FIXED.first_look(BROAD) == NOW + timedelta(seconds=2)
    assert FIXED.next_delay(BROAD, now=NOW, deadline_time=FAR) == timedelta(seconds=2)


def test_looks_of_one_token_fall_together() -> None:
    due = {
        ADAPTIVE.first_look(replace(BROAD, submit_time=NOW + timedelta(milliseconds=ms))) for ms in range(0, 1000, 50)
    }
    assert len({round(time.timestamp(), 3) for time in due}) <= 2


def test_looks_of_different_tokens_do_not() -> None:
    due = {round(ADAPTIVE.first_look(replace(BROAD, token_id=token_id)).timestamp(), 2) for token_id in range(50)}
    assert len(due) >= 25


def test_nothing_is_left_alone_much_longer_than_until_its_deadline() -> None:
    late = NOW + timedelta(minutes=10)
    delay = ADAPTIVE.next_delay(SPIKE, now=late, deadline_time=late + timedelta(seconds=3))
    assert delay <= timedelta(seconds=3)
    assert ADAPTIVE.next_delay(SPIKE, now=late, deadline_time=late - timedelta(seconds=3)) == timedelta(seconds=1)


def test_a_token_that_cannot_be_asked_is_asked_less_and_less() -> None:
    delays = [ADAPTIVE.slowed_delay(attempt=attempt, asked_for=None) for attempt in (0, 9)]
    assert timedelta(seconds=8) <= delays[0] <= timedelta(seconds=12)
    assert timedelta(seconds=48) <= delays[1] <= timedelta(seconds=72)
    assert ADAPTIVE.slowed_delay(attempt=3, asked_for=timedelta(seconds=7)) == timedelta(seconds=7)


class TestObserved:
    """How long an operation took, as far as the looks at it can tell."""

    @pytest.mark.parametrize("number", [1, 2, 3])
    def test_is_between_this_look_and_the_one_before(self, number: int) -> None:
        earlier, later = list(pairwise([NOW, *looks_at(BROAD, 4)]))[number - 1]
        seen = ADAPTIVE.observed(BROAD, later + timedelta(milliseconds=300))
        assert seen is not None
        assert seen.not_ready_ms == pytest.approx((earlier - NOW).total_seconds() * 1000, abs=600)
        assert seen.ready_ms == pytest.approx((later - NOW).total_seconds() * 1000 + 300, abs=1)

    def test_is_not_known_after_an_unplanned_look(self) -> None:
        first, second = looks_at(BROAD, 2)
        assert second - first > timedelta(seconds=8)
        assert ADAPTIVE.observed(BROAD, first + (second - first) * 0.9) is None

    def test_is_not_known_before_the_first_planned_look(self) -> None:
        assert ADAPTIVE.observed(BROAD, NOW + timedelta(seconds=10)) is None

    def test_is_not_told_where_nothing_is_to_be_learned(self) -> None:
        assert ADAPTIVE.observed(replace(BROAD, quantiles=()), looks_at(BROAD, 1)[0]) is None

    def test_with_a_fixed_delay_is_one_delay_wide(self) -> None:
        seen = FIXED.observed(BROAD, NOW + timedelta(seconds=60.4))
        assert seen is not None
        assert (seen.not_ready_ms, seen.ready_ms) == (58_000, 60_400)


class TestCarried:
    def test_comes_back_from_its_headers(self) -> None:
        carried = Carried(missing_count=2, not_before=NOW, store_until=NOW + timedelta(minutes=5), is_irregular=True)
        assert Carried.of(carried.headers()) == carried

    def test_nothing_needs_no_headers(self) -> None:
        assert Carried().headers() == {}
        assert Carried.of({"traceparent": "x"}) == Carried()

    def test_does_not_trust_what_it_reads(self) -> None:
        assert Carried.of({"flow2api-missing-count": "-1", "flow2api-not-before": "9" * 40}) == Carried()
