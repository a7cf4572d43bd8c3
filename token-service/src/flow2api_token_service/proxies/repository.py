"""Queries on proxies, and on which token keeps to which. Nothing commits here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from sqlalchemy import func, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from flow2api_common.errors import Conflict, NotFound
from flow2api_token_service.proxies.models import ProxyRow
from flow2api_token_service.proxies.states import ProxyState
from flow2api_token_service.tokens.models import TokenRow


class ProxyRepository:
    """The proxies, through one session."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def add(self, row: ProxyRow) -> None:
        """Insert a proxy; gives the row its id. Raises Conflict when its address is known."""
        self._session.add(row)
        await self.flush_unique()

    async def flush_unique(self) -> None:
        """Write a changed address. Raises Conflict when it is known."""
        try:
            await self._session.flush()
        except IntegrityError as exc:
            raise Conflict("This proxy is known already.", reason="PROXY_EXISTS") from exc

    async def get(self, proxy_id: int, *, lock: bool = False) -> ProxyRow:
        """One proxy. Raises NotFound. With ``lock`` nobody else changes it before the end of the transaction."""
        statement = select(ProxyRow).where(ProxyRow.id == proxy_id)
        row = (await self._session.execute(statement.with_for_update() if lock else statement)).scalar_one_or_none()
        if row is None:
            raise NotFound(f"There is no proxy {proxy_id}.", reason="PROXY_NOT_FOUND")
        return row

    async def find_by_fingerprint(self, fingerprint: str) -> int | None:
        """The id of the proxy with this address."""
        statement = select(ProxyRow.id).where(ProxyRow.url_fingerprint == fingerprint)
        return (await self._session.execute(statement)).scalar_one_or_none()

    async def all(self) -> Sequence[ProxyRow]:
        """Every proxy by ascending id."""
        return (await self._session.execute(select(ProxyRow).order_by(ProxyRow.id))).scalars().all()

    async def page(self, *, after_id: int, limit: int) -> Sequence[ProxyRow]:
        """Proxies by ascending id, from the one after ``after_id``."""
        statement = select(ProxyRow).where(ProxyRow.id > after_id).order_by(ProxyRow.id).limit(limit)
        return (await self._session.execute(statement)).scalars().all()

    async def lock_usable(self) -> Sequence[int]:
        """The proxies that may be used, by ascending id; they stay so until the end of the transaction."""
        statement = select(ProxyRow.id).where(ProxyRow.enabled, ProxyRow.state == ProxyState.ACTIVE)
        return (await self._session.execute(statement.order_by(ProxyRow.id).with_for_update())).scalars().all()

    async def ids_to_check(self, *, now: datetime, limit: int) -> Sequence[int]:
        """Proxies in use whose next check is due, the longest due first."""
        statement = select(ProxyRow.id).where(ProxyRow.enabled, ProxyRow.next_check_at <= now)
        statement = statement.order_by(ProxyRow.next_check_at, ProxyRow.id).limit(limit)
        return (await self._session.execute(statement)).scalars().all()

    async def delete(self, row: ProxyRow) -> None:
        """Remove a proxy; its tokens keep to none any more."""
        await self._session.execute(update(TokenRow).where(TokenRow.proxy_id == row.id).values(proxy_id=None))
        await self._session.delete(row)
        await self._session.flush()

    async def token_counts(self) -> Mapping[int, int]:
        """How many tokens keep to each proxy, for those that have any."""
        statement = select(TokenRow.proxy_id, func.count()).where(TokenRow.proxy_id.is_not(None))
        rows = (await self._session.execute(statement.group_by(TokenRow.proxy_id))).all()
        return {proxy_id: count for proxy_id, count in rows if proxy_id is not None}
