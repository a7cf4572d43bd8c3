"""A token's row as the pool index has it."""

from __future__ import annotations

from flow2api_token_service.health.rows import health_of
from flow2api_token_service.health.states import TokenState, waits_for_person
from flow2api_token_service.leases.passed import PassedBecause, why_of
from flow2api_token_service.leases.records import IndexState, PoolEntry
from flow2api_token_service.tokens.models import TokenRow
from flow2api_token_service.tokens.own_limits import read_limits


def entry_of(row: TokenRow, *, shares_quotas: bool) -> PoolEntry:
    """What choosing needs to know; the row's stats and rests must be loaded.

    ``shares_quotas``: its provider counts quotas by project.
    """
    health = health_of(row)
    if health.state is TokenState.ACTIVE:
        state = IndexState.ACTIVE
    elif waits_for_person(health):
        state = IndexState.OFF
    elif health.state is not TokenState.SUSPECT and health.until is not None:
        state = IndexState.RESTING
    else:
        state = IndexState.WATCHED
    until = health.until if state is IndexState.RESTING else None
    if state is IndexState.ACTIVE and _waits_for_refresh(row):
        state, until = IndexState.RESTING, row.refresh_time
    why = why_of(health) or (PassedBecause.NO_ACCESS if until is not None else "")
    return PoolEntry(
        token_id=row.id,
        provider=row.provider,
        tier=row.tier,
        credits=row.credits,
        revision=row.revision,
        state=state,
        state_until=until,
        image_limit=row.image_concurrency if row.image_enabled else 0,
        video_limit=row.video_concurrency if row.video_enabled else 0,
        is_sick=health.is_sick,
        rests={model: rest.until for model, rest in health.rests.items()},
        rest_reasons={model: rest.reason for model, rest in health.rests.items()},
        why=why,
        model_limits=read_limits(row.model_limits),
        quota_group=f"{row.provider}/{row.project_id}/{row.location}" if shares_quotas and row.project_id else "",
    )


def _waits_for_refresh(row: TokenRow) -> bool:
    """Whether the bearer has ended and could not be renewed: work is of no use before the next attempt."""
    if row.bearer_expire_time is None or row.refresh_time is None:
        return False
    return row.bearer_expire_time < row.refresh_time
