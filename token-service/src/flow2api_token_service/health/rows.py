"""Health between its table columns and its value."""

from __future__ import annotations

from flow2api_token_service.health.states import Health, Rest, TokenState
from flow2api_token_service.tokens.models import TokenRestRow, TokenRow

_MAX_REASON_LENGTH = 200


def health_of(row: TokenRow) -> Health:
    """The health that a row holds; its stats and rests must be loaded."""
    return Health(
        state=TokenState(row.state),
        reason=row.state_reason,
        since=row.state_time,
        until=row.state_until,
        consecutive_errors=row.stats.consecutive_error_count,
        cooldown_level=row.cooldown_level,
        suspect_level=row.suspect_level,
        rests={rest.upstream_model: Rest(rest.until, rest.level, rest.reason) for rest in row.rests},
    )


def store_health(row: TokenRow, health: Health) -> None:
    """Write a health into the row; its stats and rests must be loaded."""
    row.state = health.state
    row.is_active = health.state is not TokenState.DISABLED
    row.state_reason = health.reason[:_MAX_REASON_LENGTH]
    row.state_time = health.since
    row.state_until = health.until
    row.cooldown_level = health.cooldown_level
    row.suspect_level = health.suspect_level
    row.stats.consecutive_error_count = health.consecutive_errors
    kept = {rest.upstream_model: rest for rest in row.rests if rest.upstream_model in health.rests}
    for model, rest in health.rests.items():
        stored = kept.setdefault(model, TokenRestRow(upstream_model=model))
        stored.until, stored.level, stored.reason = rest.until, rest.level, rest.reason
    row.rests = list(kept.values())
