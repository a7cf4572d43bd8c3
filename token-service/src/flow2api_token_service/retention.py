"""Forgets what is older than the settings say."""

from __future__ import annotations

from flow2api_common.clock import Clock
from flow2api_token_service.audit.audit_log import AuditLog
from flow2api_token_service.health.history import TokenHistory
from flow2api_token_service.settings import RetentionSettings


class Retention:
    """`run_round` is called again and again by the service's background loop."""

    def __init__(self, *, history: TokenHistory, audit: AuditLog, settings: RetentionSettings, clock: Clock) -> None:
        self._history = history
        self._audit = audit
        self._settings = settings
        self._clock = clock

    async def run_round(self) -> None:
        """Delete what is too old. Raises DependencyUnavailable."""
        now = self._clock()
        await self._history.forget_before(now - self._settings.token_event_retention)
        await self._audit.forget_before(now - self._settings.audit_retention)
