"""What administrators do to proxies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from flow2api_common.database import Database
from flow2api_common.errors import Conflict, InvalidArgument
from flow2api_token_service.proxies.address import ProxyAddress, proxy_address
from flow2api_token_service.proxies.changes import ProxyChanges
from flow2api_token_service.proxies.models import ProxyRow, store_proxy_health
from flow2api_token_service.proxies.repository import ProxyRepository
from flow2api_token_service.proxies.states import new_health
from flow2api_token_service.secrets.vault import PROXY, Vault


@dataclass(frozen=True, slots=True)
class ProxyImportResult:
    """What became of one address: it was added, it is known already, or an error."""

    proxy_id: int = 0
    is_known: bool = False
    error: InvalidArgument | None = None


@dataclass(frozen=True, slots=True)
class ProxyUpdate:
    """New values; None stays."""

    address: ProxyAddress | None = None
    name: str | None = None
    remark: str | None = None


class ProxyAdministration:
    """The use cases behind ProxyService, checks apart."""

    def __init__(self, *, database: Database, changes: ProxyChanges, vault: Vault) -> None:
        self._database = database
        self._changes = changes
        self._vault = vault

    async def create(self, address: ProxyAddress, *, name: str = "", remark: str = "") -> ProxyRow:
        """Store a proxy. Raises Conflict when its address is known."""

        def build(now: datetime) -> ProxyRow:
            row = ProxyRow(name=name, remark=remark, enabled=True, created_at=now, updated_at=now, revision=1)
            self._store_address(row, address)
            store_proxy_health(row, new_health(now))
            return row

        known = await self._find(address)
        if known is not None:
            raise Conflict("This proxy is known already.", reason="PROXY_EXISTS", metadata={"proxy_id": str(known)})
        return await self._changes.add(build)

    async def import_all(self, urls: Sequence[str]) -> list[ProxyImportResult]:
        """Store many; one that is wrong never stops the others. Raises DependencyUnavailable."""
        return [await self._import(url, at) for at, url in enumerate(urls)]

    async def update(self, proxy_id: int, update: ProxyUpdate) -> ProxyRow:
        """Change one. A new address begins with a clean slate. Raises NotFound, Conflict."""

        def change(row: ProxyRow, now: datetime) -> None:
            if update.name is not None:
                row.name = update.name
            if update.remark is not None:
                row.remark = update.remark
            if update.address is not None:
                self._store_address(row, update.address)
                store_proxy_health(row, new_health(now))
                row.latency_ms = None

        return await self._changes.change(proxy_id, change)

    async def enable(self, proxy_id: int) -> ProxyRow:
        """Let one be used, with a clean slate. Raises NotFound."""

        def change(row: ProxyRow, now: datetime) -> None:
            row.enabled = True
            store_proxy_health(row, new_health(now))

        return await self._changes.change(proxy_id, change)

    async def disable(self, proxy_id: int) -> ProxyRow:
        """Have one not used any more. Raises NotFound."""

        def change(row: ProxyRow, now: datetime) -> bool:
            del now
            was_enabled, row.enabled = row.enabled, False
            return was_enabled

        return await self._changes.change(proxy_id, change)

    async def delete(self, proxy_id: int) -> None:
        """Remove one. Raises NotFound."""
        await self._changes.delete(proxy_id)

    async def get(self, proxy_id: int) -> ProxyRow:
        """One proxy. Raises NotFound."""
        async with self._database.transaction(read_only=True) as session:
            return await ProxyRepository(session).get(proxy_id)

    async def page(self, *, after_id: int, limit: int) -> Sequence[ProxyRow]:
        """Proxies by ascending id."""
        async with self._database.transaction(read_only=True) as session:
            return await ProxyRepository(session).page(after_id=after_id, limit=limit)

    async def token_counts(self) -> Mapping[int, int]:
        """How many tokens keep to each proxy."""
        async with self._database.transaction(read_only=True) as session:
            return await ProxyRepository(session).token_counts()

    async def _import(self, url: str, at: int) -> ProxyImportResult:
        try:
            address = proxy_address(url, field=f"urls[{at}]")
        except InvalidArgument as error:
            return ProxyImportResult(error=error)
        try:
            known = await self._find(address)
            if known is not None:
                return ProxyImportResult(known, is_known=True)
            return ProxyImportResult((await self.create(address)).id)
        except Conflict:
            # Somebody else was faster.
            return ProxyImportResult(await self._find(address) or 0, is_known=True)

    async def _find(self, address: ProxyAddress) -> int | None:
        async with self._database.transaction(read_only=True) as session:
            return await ProxyRepository(session).find_by_fingerprint(self._fingerprint(address))

    def _fingerprint(self, address: ProxyAddress) -> str:
        return self._vault.fingerprint(address.url, purpose=PROXY)

    def _store_address(self, row: ProxyRow, address: ProxyAddress) -> None:
        row.sealed_url = self._vault.seal(address.url, purpose=PROXY)
        row.url_fingerprint = self._fingerprint(address)
        row.scheme, row.host, row.port = address.scheme, address.host, address.port
        row.has_credentials = address.has_credentials
