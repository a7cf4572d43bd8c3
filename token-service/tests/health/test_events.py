"""Which events a change of health leaves."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from flow2api_token_service.health.events import Cause, events_between
from flow2api_token_service.health.states import Health, Outcome, TokenState, after_outcome, enabled

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
CAUSE = Cause(actor="generation", cause="why", detail="PUBLIC_ERROR")
HOUR = timedelta(hours=1)


def after(health: Health, outcome: Outcome, *, model: str = "m", now: datetime = NOON) -> Health:
    return after_outcome(health, outcome, upstream_model=model, retry_after=HOUR, now=now)


def events(before: Health, new: Health, *, now: datetime = NOON):
    return [
        (event.actor, event.state_before, event.state_after, event.reason, event.upstream_model, event.until)
        for event in events_between(1, before, new, cause=CAUSE, now=now)
    ]


def test_nothing_changed_leaves_nothing():
    health = Health(since=NOON)

    assert events(health, health) == []


def test_model_that_rests_is_told_apart_from_the_token():
    before = Health(since=NOON)

    assert events(before, after(before, Outcome.RATE_LIMITED)) == [
        ("generation", "active", "active", "rate_limited", "m", NOON + HOUR)
    ]


def test_second_model_cools_the_whole_token():
    before = after(Health(since=NOON), Outcome.RATE_LIMITED)

    assert events(before, after(before, Outcome.RATE_LIMITED, model="n")) == [
        ("generation", "active", "active", "rate_limited", "n", NOON + HOUR),
        ("generation", "active", "cooling", "rate_limited", "", NOON + HOUR),
    ]


def test_errors_are_counted_before_they_set_aside():
    before = Health(since=NOON)
    once = after(before, Outcome.NETWORK_ERROR)

    (event,) = events_between(1, before, once, cause=CAUSE, now=NOON)

    assert (event.state_after, event.consecutive_error_count, event.detail) == ("active", 1, "PUBLIC_ERROR")


def test_pause_that_has_ended_meanwhile_comes_first():
    parked = after(Health(since=NOON), Outcome.ACCOUNT_QUOTA_EXHAUSTED)
    later = NOON + 2 * HOUR

    first, second = events_between(
        1, parked, after(parked, Outcome.CREDITS_EXHAUSTED, now=later), cause=CAUSE, now=later
    )

    assert (first.actor, first.cause, first.event_time) == ("time", "pause_over", NOON + HOUR)
    assert (first.state_before, first.state_after) == ("parked", "active")
    assert (second.actor, second.state_after, second.event_time) == ("generation", "parked", later)


def test_what_an_administrator_brings_back_is_one_event():
    dead = Health(since=NOON, state=TokenState.DISABLED, reason="st_expired")

    assert events(dead, enabled(NOON)) == [("generation", "disabled", "active", "", "", None)]
