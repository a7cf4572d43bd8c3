"""Tokens that are left alone after their status call failed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from flow2api_poller_service.resting import RestingTokens

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def test_a_token_rests_until_its_time_and_counts_its_failures() -> None:
    tokens = RestingTokens()
    tokens.rest(1, until=NOW + MINUTE)
    tokens.rest(1, until=NOW + 2 * MINUTE)
    assert tokens.left(1, NOW) == 2 * MINUTE
    assert tokens.left(1, NOW + 3 * MINUTE) == timedelta(0)
    assert tokens.failure_count(1) == 2


def test_others_do_not_rest_with_it() -> None:
    tokens = RestingTokens()
    tokens.rest(1, until=NOW + MINUTE)
    assert tokens.left(2, NOW) == timedelta(0)


def test_an_answer_ends_it() -> None:
    tokens = RestingTokens()
    tokens.rest(1, until=NOW + MINUTE)
    tokens.answered(1)
    assert tokens.left(1, NOW) == timedelta(0)
    assert tokens.failure_count(1) == 0
