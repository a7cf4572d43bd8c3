"""When operations are looked at."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from flow2api_poller_service.carry import Carried
from flow2api_poller_service.schedule import first_look, next_delay, slowed_delay

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
USUAL = timedelta(seconds=90)


def test_the_first_look_comes_at_60_percent_of_the_usual_time() -> None:
    assert first_look(NOW, USUAL, None) == NOW + timedelta(seconds=54)


def test_a_fixed_delay_takes_the_place_of_both() -> None:
    fixed = timedelta(seconds=2)
    assert first_look(NOW, USUAL, fixed) == NOW + fixed
    assert next_delay(now=NOW, submit_time=NOW, usual=USUAL, token_id=1, fixed=fixed) == fixed


@pytest.mark.parametrize("elapsed", [60, 100, 170])
def test_later_looks_come_every_5_to_10_seconds(elapsed: int) -> None:
    now = NOW + timedelta(seconds=elapsed)
    for token_id in range(50):
        delay = next_delay(now=now, submit_time=NOW, usual=USUAL, token_id=token_id, fixed=None)
        assert timedelta(seconds=5) <= delay <= timedelta(seconds=10)


def test_an_operation_that_is_late_is_looked_at_less_often() -> None:
    now = NOW + timedelta(minutes=10)
    delay = next_delay(now=now, submit_time=NOW, usual=USUAL, token_id=1, fixed=None)
    assert delay >= timedelta(seconds=10)


def test_looks_of_one_token_fall_together() -> None:
    due = set()
    for millisecond in range(0, 1000, 100):
        now = NOW + timedelta(seconds=60, milliseconds=millisecond)
        due.add(now + next_delay(now=now, submit_time=NOW, usual=USUAL, token_id=7, fixed=None))
    # Ten moments in one second lead to one look, or to two where a grid line falls between them.
    assert len({time.replace(microsecond=0) for time in due}) <= 2


def test_a_token_that_cannot_be_asked_is_asked_less_and_less() -> None:
    delays = [slowed_delay(attempt=attempt, asked_for=None, fixed=None) for attempt in (0, 9)]
    assert timedelta(seconds=8) <= delays[0] <= timedelta(seconds=12)
    assert timedelta(seconds=48) <= delays[1] <= timedelta(seconds=72)
    assert slowed_delay(attempt=3, asked_for=timedelta(seconds=7), fixed=None) == timedelta(seconds=7)


class TestCarried:
    def test_comes_back_from_its_headers(self) -> None:
        carried = Carried(missing_count=2, not_before=NOW, store_until=NOW + timedelta(minutes=5))
        assert Carried.of(carried.headers()) == carried

    def test_nothing_needs_no_headers(self) -> None:
        assert Carried().headers() == {}
        assert Carried.of({"traceparent": "x"}) == Carried()

    def test_does_not_trust_what_it_reads(self) -> None:
        assert Carried.of({"flow2api-missing-count": "-1", "flow2api-not-before": "9" * 40}) == Carried()
