"""The table of token health, row by row, with the time in hand."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from flow2api_token_service.health.states import (
    WITHOUT_EFFECT,
    Health,
    Outcome,
    Rest,
    TokenState,
    after_credits_seen,
    after_outcome,
    after_probe,
    disabled,
    enabled,
    waits_for_person,
)

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
FRESH = Health(since=NOON)


def after(health: Health, *outcomes: Outcome, model: str = "m", retry_after=None, now: datetime = NOON) -> Health:
    for outcome in outcomes:
        health = after_outcome(health, outcome, upstream_model=model, retry_after=retry_after, now=now)
    return health


@pytest.mark.parametrize("outcome", sorted(WITHOUT_EFFECT))
def test_outcomes_that_are_not_the_tokens_fault_change_nothing(outcome):
    sick = replace(FRESH, consecutive_errors=2)

    assert after(FRESH, outcome) == FRESH
    assert after(sick, outcome) == sick


@pytest.mark.parametrize(
    ("outcome", "state", "reason", "until"),
    [
        (Outcome.CREDITS_EXHAUSTED, TokenState.PARKED, "credits", None),
        (Outcome.ACCOUNT_QUOTA_EXHAUSTED, TokenState.PARKED, "quota", NOON + timedelta(hours=24)),
        (Outcome.VERIFICATION_REQUIRED, TokenState.PARKED, "verification_required", None),
        (Outcome.AUTH_REJECTED, TokenState.SUSPECT, "auth_rejected", NOON),
    ],
)
def test_outcome_sets_the_token_aside_at_once(outcome, state, reason, until):
    health = after(FRESH, outcome)

    assert (health.state, health.reason, health.since, health.until) == (state, reason, NOON, until)


@pytest.mark.parametrize(
    ("outcome", "state", "reason"),
    [
        (Outcome.UPSTREAM_ERROR, TokenState.SUSPECT, "errors"),
        (Outcome.NETWORK_ERROR, TokenState.SUSPECT, "errors"),
        (Outcome.FORBIDDEN, TokenState.PARKED, "forbidden"),
    ],
)
def test_third_error_in_a_row_sets_the_token_aside(outcome, state, reason):
    two = after(FRESH, outcome, outcome)
    three = after(two, outcome)

    assert (two.state, two.consecutive_errors) == (TokenState.ACTIVE, 2)
    assert (three.state, three.reason) == (state, reason)


def test_success_begins_the_count_of_errors_anew():
    health = after(FRESH, Outcome.UPSTREAM_ERROR, Outcome.UPSTREAM_ERROR, Outcome.OK, Outcome.UPSTREAM_ERROR)

    assert (health.state, health.consecutive_errors) == (TokenState.ACTIVE, 1)


def test_errors_of_work_in_flight_do_not_make_the_pause_longer():
    three = after(FRESH, *[Outcome.UPSTREAM_ERROR] * 3)
    twenty = after(three, *[Outcome.UPSTREAM_ERROR] * 17)

    assert twenty.until == three.until == NOON + MINUTE


def test_failing_probes_make_the_pause_grow_up_to_half_an_hour():
    health, pauses, now = after(FRESH, *[Outcome.UPSTREAM_ERROR] * 3), [], NOON
    for _ in range(7):
        pauses.append((health.until - now) // MINUTE)
        now = health.until
        health = after_probe(health, passed=False, now=now)

    assert pauses == [1, 2, 4, 8, 16, 30, 30]


def test_passed_probe_gives_one_chance_and_a_success_ends_it():
    suspect = after(FRESH, *[Outcome.UPSTREAM_ERROR] * 3)
    back = after_probe(suspect, passed=True, now=NOON + MINUTE)
    again = after(back, Outcome.UPSTREAM_ERROR, now=NOON + MINUTE)
    well = after(back, Outcome.OK, now=NOON + MINUTE)

    assert back.state is TokenState.ACTIVE
    assert (again.state, again.until) == (TokenState.SUSPECT, NOON + 3 * MINUTE)
    assert not well.is_sick


def test_first_rate_limit_rests_the_model_alone():
    health = after(FRESH, Outcome.RATE_LIMITED)

    assert health.state is TokenState.ACTIVE
    assert health.rests["m"].until == NOON + MINUTE


def test_rate_limits_grow_from_a_minute_to_twelve_hours():
    health, now, pauses = FRESH, NOON, []
    for _ in range(12):
        health = after(health, Outcome.RATE_LIMITED, now=now)
        pauses.append((health.rests["m"].until - now) // MINUTE)
        now = health.rests["m"].until

    assert pauses == [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 720, 720]


def test_retry_after_is_honoured():
    health = after(FRESH, Outcome.RATE_LIMITED, retry_after=timedelta(seconds=7))

    assert health.rests["m"].until == NOON + timedelta(seconds=7)


def test_rate_limits_of_work_in_flight_count_once():
    health = after(FRESH, *[Outcome.RATE_LIMITED] * 10)

    assert health.rests["m"] == Rest(NOON + MINUTE, 1, "rate_limited")


def test_rate_limit_on_a_second_model_cools_the_token():
    health = after(after(FRESH, Outcome.RATE_LIMITED, model="a"), Outcome.RATE_LIMITED, model="b")

    assert (health.state, health.until) == (TokenState.COOLING, NOON + MINUTE)
    assert health.state_at(NOON + MINUTE) is TokenState.ACTIVE


def test_second_cooling_is_longer_and_a_success_after_it_resets():
    def cool(health: Health, now: datetime) -> Health:
        health = after(health, Outcome.RATE_LIMITED, model="a", now=now)
        return after(health, Outcome.RATE_LIMITED, model="b", now=now)

    second = cool(cool(FRESH, NOON), NOON + 2 * MINUTE)
    success = after(second, Outcome.OK, model="a", now=NOON + 5 * MINUTE)
    third = cool(success, NOON + 10 * MINUTE)

    assert second.until == NOON + 4 * MINUTE
    assert (success.state, success.cooldown_level) == (TokenState.ACTIVE, 0)
    assert "a" not in success.rests
    assert third.until == NOON + 11 * MINUTE


def test_success_of_work_in_flight_does_not_end_a_cooldown():
    cooling = after(after(FRESH, Outcome.RATE_LIMITED, model="a"), Outcome.RATE_LIMITED, model="b")

    assert after(cooling, Outcome.OK, model="c").state is TokenState.COOLING


def test_spent_model_quota_rests_the_model_for_a_day():
    assert after(FRESH, Outcome.MODEL_QUOTA_EXHAUSTED).rests["m"].until == NOON + timedelta(hours=24)


def test_denied_tier_is_remembered_for_the_model():
    assert after(FRESH, Outcome.TIER_DENIED).rests["m"].until == NOON + timedelta(days=7)


def test_token_parked_for_credits_comes_back_when_there_are_some():
    parked = after(FRESH, Outcome.CREDITS_EXHAUSTED)

    assert after_credits_seen(parked, credit_count=0, now=NOON) == parked
    assert after_credits_seen(parked, credit_count=10, now=NOON).state is TokenState.ACTIVE


def test_credits_do_not_bring_back_what_waits_for_its_owner():
    parked = after(FRESH, Outcome.VERIFICATION_REQUIRED)

    assert after_credits_seen(parked, credit_count=10, now=NOON) == parked


@pytest.mark.parametrize("outcome", sorted(Outcome))
@pytest.mark.parametrize(
    "health", [disabled(FRESH, reason="st_expired", now=NOON), after(FRESH, Outcome.VERIFICATION_REQUIRED)]
)
def test_nothing_that_was_in_flight_brings_back_what_waits_for_a_person(health, outcome):
    moved = after(health, outcome)

    assert (moved.state, moved.reason) == (health.state, health.reason)
    assert waits_for_person(moved)


def test_first_reason_of_a_dead_token_stays():
    health = disabled(disabled(FRESH, reason="st_expired", now=NOON), reason="admin", now=NOON + MINUTE)

    assert (health.reason, health.since) == ("st_expired", NOON)


def test_enabled_token_is_healthy():
    assert not enabled(NOON).is_sick


def test_quota_that_is_over_needs_nobody():
    parked = after(FRESH, Outcome.ACCOUNT_QUOTA_EXHAUSTED)

    assert parked.state_at(NOON + timedelta(hours=24)) is TokenState.ACTIVE
    assert not waits_for_person(parked)


class TestFailureThatNamesAPause:
    def test_rests_the_model_until_then(self):
        health = after_outcome(
            FRESH, Outcome.UPSTREAM_ERROR, upstream_model="veo", retry_after=timedelta(seconds=30), now=NOON
        )
        rest = health.rests["veo"]
        assert (health.state, health.consecutive_errors) == (TokenState.ACTIVE, 1)
        assert (rest.until, rest.reason) == (NOON + timedelta(seconds=30), "errors")
        later = NOON + timedelta(seconds=31)
        again = after_outcome(health, Outcome.OK, upstream_model="veo", retry_after=None, now=later)
        assert (again.rests, again.consecutive_errors) == ({}, 0)

    def test_never_makes_a_rest_shorter(self):
        day = after_outcome(
            FRESH, Outcome.MODEL_QUOTA_EXHAUSTED, upstream_model="veo", retry_after=timedelta(hours=9), now=NOON
        )
        health = after_outcome(
            day, Outcome.UPSTREAM_ERROR, upstream_model="veo", retry_after=timedelta(seconds=30), now=NOON
        )
        assert health.rests == day.rests
