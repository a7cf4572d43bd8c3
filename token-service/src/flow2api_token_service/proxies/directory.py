"""The proxies as this replica knows them: read from SQL every moment, so that a lease costs no query."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from flow2api_common.database import Database
from flow2api_token_service.proxies.models import ProxyRow, proxy_health_of
from flow2api_token_service.proxies.repository import ProxyRepository
from flow2api_token_service.proxies.states import ProxyState
from flow2api_token_service.secrets.vault import PROXY, Vault

RELOAD_INTERVAL = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class KnownProxy:
    """A proxy with its address. ``is_doubtful``: it was reported, and no check has seen yet whether that is so."""

    proxy_id: int
    url: str = field(repr=False)
    is_usable: bool
    is_doubtful: bool


class ProxyDirectory:
    """What `reload` has seen last. Replicas agree within `RELOAD_INTERVAL`."""

    def __init__(self, *, database: Database, vault: Vault) -> None:
        self._database = database
        self._vault = vault
        self._known: Mapping[int, KnownProxy] = {}
        self._usable: tuple[KnownProxy, ...] = ()
        self._opened: dict[str, str] = {}
        self._is_loaded = False
        self._reading = asyncio.Lock()

    @property
    def is_empty(self) -> bool:
        """Whether there are no proxies at all."""
        return not self._known

    @property
    def usable(self) -> tuple[KnownProxy, ...]:
        """Those that are switched on and work, by ascending id; when none does, those that no check has refuted yet."""
        return self._usable

    def get(self, proxy_id: int) -> KnownProxy | None:
        """One proxy, whether it works or not."""
        return self._known.get(proxy_id)

    async def ensure_loaded(self) -> None:
        """Read them if that was not done yet. Raises DependencyUnavailable."""
        if not self._is_loaded:
            await self.reload()

    async def reload(self) -> None:
        """Read them anew. Raises DependencyUnavailable; what was known stays then."""
        async with self._reading:
            # One after the other: what was read earlier never replaces what was read later.
            await self._read()

    async def _read(self) -> None:
        async with self._database.transaction(read_only=True) as session:
            rows = await ProxyRepository(session).all()
        opened = {row.sealed_url: self._url(row) for row in rows}
        known = {row.id: _known(row, opened[row.sealed_url]) for row in rows}
        self._opened = opened
        self._known = known
        self._usable = tuple(proxy for proxy in known.values() if proxy.is_usable) or tuple(
            proxy for proxy in known.values() if proxy.is_doubtful
        )
        self._is_loaded = True

    def _url(self, row: ProxyRow) -> str:
        return self._opened.get(row.sealed_url) or self._vault.open(row.sealed_url, purpose=PROXY)


def _known(row: ProxyRow, url: str) -> KnownProxy:
    health = proxy_health_of(row)
    is_active = health.state is ProxyState.ACTIVE
    return KnownProxy(
        proxy_id=row.id,
        url=url,
        is_usable=row.enabled and is_active,
        is_doubtful=row.enabled and not is_active and not health.is_confirmed,
    )
