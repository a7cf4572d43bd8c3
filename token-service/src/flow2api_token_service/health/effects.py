"""Applies outcomes to stored tokens."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta

from flow2api_common.errors import NotFound
from flow2api_common.logs import get_logger
from flow2api_token_service.health.events import Cause
from flow2api_token_service.health.rows import health_of, store_health
from flow2api_token_service.health.states import Outcome, UpstreamFacts, after_outcome
from flow2api_token_service.tokens.changes import TokenChanges
from flow2api_token_service.tokens.models import TokenRow
from flow2api_upstream.advice import final_reason
from flow2api_upstream.registry import ProviderRegistry

log = get_logger(__name__)

GENERATION = "generation"
_OF_THE_PROJECT = frozenset({Outcome.RATE_LIMITED, Outcome.MODEL_QUOTA_EXHAUSTED, Outcome.TIER_DENIED})
"""What a quota says, and so concerns everybody who shares it."""


class HealthEffects:
    """What outcomes do to tokens, in SQL and in the pool index."""

    def __init__(self, *, changes: TokenChanges, registry: ProviderRegistry) -> None:
        self._changes = changes
        self._registry = registry

    async def apply(
        self,
        token_id: int,
        outcome: Outcome,
        *,
        upstream_model: str,
        retry_after: timedelta | None,
        upstream_reason: str = "",
    ) -> None:
        """Let one outcome take its effect. Raises NotFound; DependencyUnavailable when SQL is away."""
        before, after = "", ""

        def change(row: TokenRow, now: datetime) -> bool:
            nonlocal before, after
            health = health_of(row)
            facts = UpstreamFacts(
                quotas_per_model=self._registry.get(row.provider).capabilities.quotas_per_model,
                final_reason=final_reason(row.provider, upstream_reason),
            )
            new = after_outcome(
                health, outcome, upstream_model=upstream_model, retry_after=retry_after, now=now, facts=facts
            )
            before, after = health.state, new.state
            if new == health:
                return False
            store_health(row, new)
            return True

        cause = Cause(actor=GENERATION, cause=outcome, detail=upstream_reason)
        row = await self._changes.change(token_id, change, cause=cause)
        if outcome in _OF_THE_PROJECT:
            await self._rest_others(row, upstream_model, cause)
        if before != after:
            log.info(
                "token_state_changed",
                token_id=token_id,
                before=before,
                after=after,
                reason=row.state_reason,
                outcome=outcome,
                upstream_reason=upstream_reason[:100],
            )

    async def _rest_others(self, row: TokenRow, upstream_model: str, cause: Cause) -> None:
        """Rest those that share the quota as long as this one: their next calls would meet the same answer."""
        others = await self._changes.sharing_quota(row)
        rest = health_of(row).rests.get(upstream_model) if others else None
        if rest is None:
            return
        shared = rest

        def rest_too(other: TokenRow, now: datetime) -> bool:
            health = health_of(other)
            own = health.rests.get(upstream_model)
            if shared.until <= max(now, own.until if own is not None else now):
                return False
            store_health(other, replace(health, rests={**health.rests, upstream_model: shared}))
            return True

        for token_id in others:
            # One that was removed meanwhile needs no rest.
            with suppress(NotFound):
                await self._changes.change(token_id, rest_too, cause=cause)
