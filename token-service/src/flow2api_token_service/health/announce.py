"""Tells operators when a token changes its state: a counter to alert on, and a warning when only a person can help."""

from __future__ import annotations

from prometheus_client import Counter

from flow2api_common.logs import get_logger
from flow2api_token_service.health.events import Cause
from flow2api_token_service.health.states import Health, StateReason, waits_for_person

log = get_logger(__name__)

TOKEN_STATE_CHANGES_TOTAL = Counter(
    "flow2api_token_state_changes_total",
    "Changes of the state of tokens, by provider and new state",
    ["provider", "state"],
)


def announce(token_id: int, provider: str, before: Health, after: Health, *, cause: Cause) -> None:
    """Count and log one change that is stored; nothing when the state is the same."""
    if before.state is after.state:
        return
    TOKEN_STATE_CHANGES_TOTAL.labels(provider, after.state).inc()
    if waits_for_person(after) and after.reason != StateReason.ADMIN:
        log.warning(
            "token_needs_its_owner",
            token_id=token_id,
            provider=provider,
            state=after.state,
            reason=after.reason,
            cause=cause.cause,
        )
