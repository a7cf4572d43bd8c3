"""What calls tell about the proxies that they went through."""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime

from flow2api_common.errors import NotFound
from flow2api_common.logs import get_logger
from flow2api_token_service.proxies.changes import ProxyChanges
from flow2api_token_service.proxies.directory import ProxyDirectory
from flow2api_token_service.proxies.models import ProxyRow, proxy_health_of, store_proxy_health
from flow2api_token_service.proxies.states import Pauses, after_doubt, after_report
from flow2api_token_service.settings import ProxySettings

log = get_logger(__name__)

_MAX_REASON = 200


class ProxyReports:
    """Takes reports. A proxy that is gone, or set aside already, is passed over without asking SQL."""

    def __init__(self, *, directory: ProxyDirectory, changes: ProxyChanges, settings: ProxySettings) -> None:
        self._directory = directory
        self._changes = changes
        self._pauses = Pauses(settings.proxy_first_pause, settings.proxy_longest_pause)

    async def failed(self, proxy_id: int, *, reason: str) -> None:
        """A call did not get through: the proxy is set aside and checked at once. Raises DependencyUnavailable."""
        if not await self._is_in_use(proxy_id):
            return

        def change(row: ProxyRow, now: datetime) -> bool:
            health = proxy_health_of(row)
            new = after_report(health, reason=reason[:_MAX_REASON] or "failed", pauses=self._pauses, now=now)
            store_proxy_health(row, new)
            return new != health

        with suppress(NotFound):
            await self._changes.change(proxy_id, change)

    async def doubted(self, proxy_id: int) -> None:
        """A call was lost on the way, wherever: the proxy is checked soon. Raises DependencyUnavailable."""
        if not await self._is_in_use(proxy_id):
            return

        def change(row: ProxyRow, now: datetime) -> bool:
            health = proxy_health_of(row)
            new = after_doubt(health, now=now)
            store_proxy_health(row, new)
            return new != health

        with suppress(NotFound):
            await self._changes.change(proxy_id, change)

    async def _is_in_use(self, proxy_id: int) -> bool:
        await self._directory.ensure_loaded()
        known = self._directory.get(proxy_id)
        return known is not None and known.is_usable
