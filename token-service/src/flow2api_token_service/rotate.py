"""Exchanges the secret key: opens every stored secret with the old key and seals it with the new one."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import SecretStr
from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncSession

from flow2api_common.clock import Clock, utc_now
from flow2api_common.database import Database
from flow2api_common.logs import get_logger
from flow2api_common.sealing import Resealing, RotationRefused
from flow2api_common.settings import DatabaseSettings
from flow2api_token_service.models_base import SCHEMA
from flow2api_token_service.proxies.repository import ProxyRepository
from flow2api_token_service.secrets.hash_keys import HashKeys
from flow2api_token_service.secrets.key_check import ensure_hash_keys, hash_key_purpose
from flow2api_token_service.secrets.vault import BEARER, PROXY, SECRET, Vault
from flow2api_token_service.tokens.models import TokenRow

__all__ = ["Rotation", "RotationRefused", "rotate_secret_key"]

log = get_logger(__name__)

_BATCH = 500
_PURPOSES = {"sealed_secret": SECRET, "sealed_bearer": BEARER, "sealed_proxy_url": PROXY}


@dataclass(frozen=True, slots=True)
class Rotation:
    """How many secrets were sealed anew, and how many had been before."""

    resealed_count: int
    known_count: int


async def rotate_secret_key(
    settings: DatabaseSettings, *, old_key: SecretStr, new_key: SecretStr, clock: Clock = utc_now
) -> Rotation:
    """Seal everything anew in one transaction. The tables must be up to date, and the service stopped.

    A crash leaves everything as it was; a repetition after success finds nothing to do, and seals what a service that
    was not stopped has written with the old key since. Hashes (API keys, sessions, fingerprints) stay valid: their keys
    are only sealed anew. Raises RotationRefused, WrongSecretKey, DependencyUnavailable.
    """
    old_vault = Vault(old_key, HashKeys())
    resealing = Resealing(old_vault, Vault(new_key, HashKeys()))
    database = Database(settings.database_url, schema=SCHEMA, pool_size=1)
    try:
        async with database.transaction() as session:
            rows = await ensure_hash_keys(session, vault=old_vault, secret_key=old_key, now=clock())
            for row in rows:
                row.sealed = resealing.sealed_anew(row.sealed, hash_key_purpose(row.name), what=f"the {row.name} key")
            await session.flush()
            await _reseal_tokens(session, resealing)
            await _reseal_proxies(session, resealing)
    finally:
        await database.aclose()
    log.info("secret_key_rotated", resealed_count=resealing.resealed_count, known_count=resealing.known_count)
    return Rotation(resealing.resealed_count, resealing.known_count)


async def _reseal_tokens(session: AsyncSession, resealing: Resealing) -> None:
    columns = [getattr(TokenRow, name) for name in _PURPOSES]
    after_id = 0
    while True:
        page = select(TokenRow.id, *columns).where(TokenRow.id > after_id).order_by(TokenRow.id).limit(_BATCH)
        rows = (await session.execute(page.with_for_update())).all()
        changes = []
        for token_id, *sealed in rows:
            what = f"a secret of token {token_id}"
            anew = {
                name: None if text is None else resealing.sealed_anew(text, purpose, what=what)
                for (name, purpose), text in zip(_PURPOSES.items(), sealed, strict=True)
            }
            changes.append({"id": token_id, **anew})
        if changes:
            await session.execute(update(TokenRow), changes)
        if len(rows) < _BATCH:
            return
        after_id = rows[-1].id


async def _reseal_proxies(session: AsyncSession, resealing: Resealing) -> None:
    for row in await ProxyRepository(session).all():
        row.sealed_url = resealing.sealed_anew(row.sealed_url, PROXY, what=f"the address of proxy {row.id}")
    await session.flush()
