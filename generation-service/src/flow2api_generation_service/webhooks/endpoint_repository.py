"""The queries of registered receivers."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, cast

from sqlalchemy import CursorResult, delete, func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from flow2api_generation_service.webhooks.models import WebhookEndpointRow


class EndpointRepository:
    """Reads and writes receivers within one session; never commits."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def add(self, row: WebhookEndpointRow) -> None:
        """Store a new one."""
        self._session.add(row)
        await self._session.flush()

    async def get(
        self, endpoint_id: str, *, api_key_id: str = "", for_update: bool = False
    ) -> WebhookEndpointRow | None:
        """One; only if it is this key's, unless that is empty."""
        statement = select(WebhookEndpointRow).where(WebhookEndpointRow.endpoint_id == endpoint_id)
        if api_key_id:
            statement = statement.where(WebhookEndpointRow.api_key_id == api_key_id)
        if for_update:
            statement = statement.with_for_update()
        return await self._session.scalar(statement.execution_options(populate_existing=True))

    async def of_keys(self, api_key_ids: Sequence[str]) -> Sequence[WebhookEndpointRow]:
        """All that these keys have registered."""
        statement = select(WebhookEndpointRow).where(WebhookEndpointRow.api_key_id.in_(api_key_ids))
        return (await self._session.scalars(statement.order_by(WebhookEndpointRow.endpoint_id))).all()

    async def with_ids(self, endpoint_ids: Sequence[str]) -> dict[str, WebhookEndpointRow]:
        """Those of these that are there."""
        if not endpoint_ids:
            return {}
        statement = select(WebhookEndpointRow).where(WebhookEndpointRow.endpoint_id.in_(endpoint_ids))
        return {row.endpoint_id: row for row in await self._session.scalars(statement)}

    async def page(self, *, limit: int, after_id: str, api_key_id: str) -> Sequence[WebhookEndpointRow]:
        """Newest first. Ids are time-ordered, so that the id is the cursor."""
        statement = select(WebhookEndpointRow).order_by(WebhookEndpointRow.endpoint_id.desc()).limit(limit)
        if after_id:
            statement = statement.where(WebhookEndpointRow.endpoint_id < after_id)
        if api_key_id:
            statement = statement.where(WebhookEndpointRow.api_key_id == api_key_id)
        return (await self._session.scalars(statement)).all()

    async def count(self, api_key_id: str) -> int:
        """How many a key has."""
        statement = select(func.count()).where(WebhookEndpointRow.api_key_id == api_key_id)
        return await self._session.scalar(statement) or 0

    async def disable(self, endpoint_id: str, *, url: str, reason: str, now: datetime) -> bool:
        """Send it nothing any more, unless it has another URL by now."""
        statement = (
            update(WebhookEndpointRow)
            .where(
                WebhookEndpointRow.endpoint_id == endpoint_id,
                WebhookEndpointRow.url == url,
                WebhookEndpointRow.disabled_reason.is_(None),
            )
            .values(disabled_reason=reason, update_time=now)
            .execution_options(synchronize_session=False)
        )
        return cast("CursorResult[Any]", await self._session.execute(statement)).rowcount == 1

    async def delete(self, endpoint_id: str) -> None:
        """Remove one."""
        await self._session.execute(delete(WebhookEndpointRow).where(WebhookEndpointRow.endpoint_id == endpoint_id))
