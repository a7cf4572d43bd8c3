"""The health of a proxy over time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from flow2api_token_service.proxies.states import (
    Pauses,
    ProxyHealth,
    ProxyState,
    after_check,
    after_doubt,
    after_report,
    new_health,
)

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
PAUSES = Pauses(timedelta(seconds=10), timedelta(seconds=60))
INTERVAL = timedelta(minutes=1)


def at(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def checked(health: ProxyHealth, seconds: float, failure: str | None = None) -> ProxyHealth:
    return after_check(health, failure=failure, pauses=PAUSES, interval=INTERVAL, now=at(seconds))


def reported(health: ProxyHealth, seconds: float) -> ProxyHealth:
    return after_report(health, reason="curl_7", pauses=PAUSES, now=at(seconds))


def test_new_proxy_is_used_and_checked_at_once():
    health = new_health(NOON)
    assert (health.state, health.check_time) == (ProxyState.ACTIVE, NOON)


def test_check_that_passes_is_repeated_after_the_interval():
    health = checked(new_health(NOON), 1)
    assert (health.state, health.check_time, health.checked_at) == (ProxyState.ACTIVE, at(61), at(1))


def test_report_sets_aside_and_asks_for_a_check_at_once():
    health = reported(checked(new_health(NOON), 1), 5)
    assert (health.state, health.reason, health.since, health.check_time) == (
        ProxyState.SUSPECT,
        "curl_7",
        at(5),
        at(5),
    )
    assert not health.is_confirmed
    assert health.consecutive_failures == 1


def test_report_about_one_that_is_set_aside_changes_nothing():
    health = reported(new_health(NOON), 5)
    assert reported(health, 6) == health


def test_pauses_between_failing_checks_double_up_to_the_longest():
    health = reported(new_health(NOON), 0)
    pauses = []
    for _ in range(5):
        now = health.check_time
        health = after_check(health, failure="curl_7", pauses=PAUSES, interval=INTERVAL, now=now)
        pauses.append((health.check_time - now).total_seconds())
    assert pauses == [10, 20, 40, 60, 60]
    assert health.since == NOON
    assert health.is_confirmed
    assert health.consecutive_failures == 6


def test_routine_check_that_fails_sets_aside_for_the_first_pause():
    health = checked(new_health(NOON), 0, "curl_28")
    assert (health.state, health.reason, health.check_time) == (ProxyState.SUSPECT, "curl_28", at(10))
    assert health.is_confirmed


def test_proxy_that_came_back_and_fails_again_rests_before_its_check():
    back = checked(reported(new_health(NOON), 0), 1)
    assert (back.state, back.reason, back.consecutive_failures) == (ProxyState.ACTIVE, "", 0)
    again = reported(back, 2)
    assert again.check_time == at(12)
    assert checked(again, 12, "curl_7").check_time == at(12 + 20)


def test_routine_check_that_passes_forgets_the_pauses():
    back = checked(reported(new_health(NOON), 0), 1)
    assert reported(checked(back, 61), 62).check_time == at(62)


def test_doubt_only_brings_the_next_check_forward():
    health = checked(new_health(NOON), 0)
    doubted = after_doubt(health, now=at(5))
    assert (doubted.state, doubted.check_time) == (ProxyState.ACTIVE, at(5))
    aside = checked(health, 5, "curl_7")
    assert after_doubt(aside, now=at(6)) == aside


def test_pauses_stay_within_bounds_for_ever():
    health = new_health(NOON)
    for _ in range(200):
        health = after_check(health, failure="x", pauses=PAUSES, interval=INTERVAL, now=health.check_time)
    assert health.check_time - NOON < timedelta(seconds=200 * 60)
