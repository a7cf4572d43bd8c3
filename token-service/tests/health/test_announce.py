"""What operators are told of changes."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from flow2api_token_service.health.announce import announce
from flow2api_token_service.health.events import Cause
from flow2api_token_service.health.states import Health, StateReason, TokenState

NOW = datetime(2026, 1, 1, tzinfo=UTC)
ACTIVE = Health(since=NOW)
CAUSE = Cause(actor="refresh", cause="auth")


def counted(state: TokenState) -> float:
    labels = {"provider": "announced", "state": state}
    return REGISTRY.get_sample_value("flow2api_token_state_changes_total", labels) or 0.0


@pytest.mark.parametrize(
    ("state", "reason", "warns"),
    [
        (TokenState.DISABLED, "st_expired", True),
        (TokenState.PARKED, StateReason.VERIFICATION, True),
        (TokenState.PARKED, StateReason.CREDITS, False),
        (TokenState.SUSPECT, StateReason.ERRORS, False),
        (TokenState.DISABLED, StateReason.ADMIN, False),
    ],
)
def test_change_is_counted_and_warned_of_where_a_person_is_needed(state, reason, warns):
    before = counted(state)

    with capture_logs() as logs:
        announce(7, "announced", ACTIVE, replace(ACTIVE, state=state, reason=reason), cause=CAUSE)

    assert counted(state) == before + 1
    assert [entry["log_level"] for entry in logs] == (["warning"] if warns else [])


def test_same_state_is_not_told():
    before = counted(TokenState.ACTIVE)

    with capture_logs() as logs:
        announce(7, "announced", ACTIVE, replace(ACTIVE, consecutive_errors=1), cause=CAUSE)

    assert (counted(TokenState.ACTIVE), logs) == (before, [])
