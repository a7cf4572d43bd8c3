"""Exchanges the secret key: opens every stored secret with the old key and seals it with the new one."""

from __future__ import annotations

from typing import Any, Final

from pydantic import SecretStr
from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import InstrumentedAttribute

from flow2api_common.database import Database
from flow2api_common.logs import get_logger
from flow2api_common.sealing import Resealing, Seal
from flow2api_common.settings import DatabaseSettings
from flow2api_generation_service.models_base import SCHEMA
from flow2api_generation_service.videos.models import JobRow
from flow2api_generation_service.webhooks.models import WebhookDeliveryRow, WebhookEndpointRow, WebhookEventRow
from flow2api_generation_service.webhooks.receivers import SEAL_OWNER, SECRET_PURPOSE

log = get_logger(__name__)

_BATCH: Final = 500
_SEALED_COLUMNS: Final[tuple[tuple[InstrumentedAttribute[str], InstrumentedAttribute[Any]], ...]] = (
    (WebhookEndpointRow.endpoint_id, WebhookEndpointRow.sealed_secret),
    (WebhookEndpointRow.endpoint_id, WebhookEndpointRow.sealed_old_secret),
    (JobRow.video_id, JobRow.sealed_webhook_secret),
    (WebhookEventRow.event_id, WebhookEventRow.sealed_webhook_secret),
    (WebhookDeliveryRow.delivery_id, WebhookDeliveryRow.sealed_secret),
)
"""Every column with sealed secrets, after the key of its table."""


async def rotate_secret_key(settings: DatabaseSettings, *, old_key: SecretStr, new_key: SecretStr) -> int:
    """Seal everything anew in one transaction; answers how many secrets. The tables must be up to date, and the service
    stopped.

    A crash leaves everything as it was; a repetition after success finds nothing to do. Secrets that follow from the
    key and are stored nowhere (those of API keys for the webhooks of their jobs) are others afterwards. Raises
    RotationRefused, DependencyUnavailable.
    """
    resealing = Resealing(Seal(old_key, owner=SEAL_OWNER), Seal(new_key, owner=SEAL_OWNER))
    database = Database(settings.database_url, schema=SCHEMA, pool_size=1)
    try:
        async with database.transaction() as session:
            for key, sealed in _SEALED_COLUMNS:
                await _reseal(session, key, sealed, resealing)
    finally:
        await database.aclose()
    log.info("webhook_secrets_rotated", resealed_count=resealing.resealed_count, known_count=resealing.known_count)
    return resealing.resealed_count


async def _reseal(
    session: AsyncSession, key: InstrumentedAttribute[str], sealed: InstrumentedAttribute[Any], resealing: Resealing
) -> None:
    after = ""
    while True:
        page = select(key, sealed).where(key > after, sealed.is_not(None)).order_by(key).limit(_BATCH)
        rows = (await session.execute(page.with_for_update())).all()
        for row_key, text in rows:
            anew = resealing.sealed_anew(text, SECRET_PURPOSE, what=f"the webhook secret of {row_key}")
            if anew != text:
                await session.execute(
                    update(key.class_)
                    .where(key == row_key)
                    .values({sealed.key: anew})
                    .execution_options(synchronize_session=False)
                )
        if len(rows) < _BATCH:
            return
        after = rows[-1][0]
