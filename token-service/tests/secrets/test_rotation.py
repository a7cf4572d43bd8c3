"""Exchanging the secret key, and starting with a wrong one, on both databases."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest
from pydantic import SecretStr
from sqlalchemy import select, update

from flow2api_common.database import Database
from flow2api_common.settings import DatabaseSettings, load_settings
from flow2api_token_service.migrate import migrate
from flow2api_token_service.models_base import SCHEMA
from flow2api_token_service.proxies.models import ProxyRow
from flow2api_token_service.rotate import Rotation, RotationRefused, rotate_secret_key
from flow2api_token_service.secrets import key_check
from flow2api_token_service.secrets.hash_keys import HashKeyName, HashKeys, derived_hash_keys
from flow2api_token_service.secrets.key_check import KeyCheck, WrongSecretKey
from flow2api_token_service.secrets.models import SealedKeyRow
from flow2api_token_service.secrets.vault import BEARER, PROXY, SECRET, Vault
from flow2api_token_service.tokens.models import TokenRow, TokenStatsRow

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
OLD, NEW, OTHER = (SecretStr(f"{name}-secret-key-0123456789") for name in ("old", "new", "other"))
TOKEN_COUNT = 3


@pytest.fixture
async def settings(database_url) -> DatabaseSettings:
    settings = load_settings(DatabaseSettings, database_url=database_url)
    await migrate(settings)
    return settings


@pytest.fixture
async def database(settings) -> AsyncIterator[Database]:
    database = Database(settings.database_url, schema=SCHEMA)
    yield database
    await database.aclose()


async def check(database: Database, key: SecretStr) -> HashKeys:
    hash_keys = HashKeys()
    vault = Vault(key, hash_keys)
    await KeyCheck(database=database, vault=vault, secret_key=key, hash_keys=hash_keys, clock=lambda: NOON).run()
    return hash_keys


async def add_tokens(database: Database, key: SecretStr) -> None:
    vault = Vault(key, HashKeys())
    async with database.transaction() as session:
        for number in range(TOKEN_COUNT):
            session.add(
                TokenRow(
                    provider="flow",
                    sealed_secret=vault.seal(f"st-{number}", purpose=SECRET),
                    sealed_bearer=vault.seal(f"at-{number}", purpose=BEARER),
                    sealed_proxy_url=vault.seal("http://u:p@h", purpose=PROXY) if number == 0 else None,
                    secret_fingerprint=f"{number}",
                    masked_secret="…",
                    is_active=True,
                    state="active",
                    state_time=NOON,
                    image_enabled=True,
                    video_enabled=True,
                    image_concurrency=-1,
                    video_concurrency=-1,
                    created_at=NOON,
                    updated_at=NOON,
                    stats=TokenStatsRow(),
                )
            )


async def opened(database: Database, key: SecretStr) -> list[tuple[str, str]]:
    vault = Vault(key, HashKeys())
    async with database.transaction(read_only=True) as session:
        statement = select(TokenRow.sealed_secret, TokenRow.sealed_bearer).order_by(TokenRow.id)
        return [
            (vault.open(secret, purpose=SECRET), vault.open(bearer or "", purpose=BEARER))
            for secret, bearer in await session.execute(statement)
        ]


SECRETS = [(f"st-{number}", f"at-{number}") for number in range(TOKEN_COUNT)]


async def test_start_with_another_key_is_refused(database):
    first = await check(database, OLD)

    with pytest.raises(WrongSecretKey, match="FLOW2API_SECRET_KEY"):
        await check(database, OTHER)
    again = await check(database, OLD)
    assert again.get(HashKeyName.ACCESS) == first.get(HashKeyName.ACCESS)


async def test_installation_from_before_the_hash_keys_were_kept_goes_on_with_its_hashes(database):
    await add_tokens(database, OLD)

    with pytest.raises(WrongSecretKey):
        await check(database, OTHER)
    hash_keys = await check(database, OLD)
    assert {name: hash_keys.get(name) for name in HashKeyName} == derived_hash_keys(OLD)


async def test_hash_keys_of_a_new_installation_do_not_follow_from_the_secret_key(database):
    hash_keys = await check(database, OLD)

    assert hash_keys.get(HashKeyName.ACCESS) != derived_hash_keys(OLD)[HashKeyName.ACCESS]


async def test_rotation_seals_everything_anew_and_keeps_the_hashes(database, settings):
    before = await check(database, OLD)
    await add_tokens(database, OLD)

    rotation = await rotate_secret_key(settings, old_key=OLD, new_key=NEW)

    assert rotation == Rotation(resealed_count=len(HashKeyName) + 2 * TOKEN_COUNT + 1, known_count=0)
    assert await opened(database, NEW) == SECRETS
    after = await check(database, NEW)
    assert {name: after.get(name) for name in HashKeyName} == {name: before.get(name) for name in HashKeyName}
    with pytest.raises(WrongSecretKey):
        await check(database, OLD)


async def test_rotation_seals_the_addresses_of_proxies_anew(database, settings):
    await check(database, OLD)
    url = "socks5://user:hidden@proxy.example:1080"
    async with database.transaction() as session:
        session.add(
            ProxyRow(
                sealed_url=Vault(OLD, HashKeys()).seal(url, purpose=PROXY),
                url_fingerprint="fingerprint",
                scheme="socks5",
                host="proxy.example",
                port=1080,
                has_credentials=True,
                state="active",
                state_time=NOON,
                next_check_at=NOON,
                created_at=NOON,
                updated_at=NOON,
            )
        )

    await rotate_secret_key(settings, old_key=OLD, new_key=NEW)

    async with database.transaction(read_only=True) as session:
        row = (await session.execute(select(ProxyRow))).scalar_one()
    assert Vault(NEW, HashKeys()).open(row.sealed_url, purpose=PROXY) == url
    assert row.url_fingerprint == "fingerprint"


async def test_rotation_can_be_repeated_and_catches_what_was_written_late(database, settings):
    await check(database, OLD)
    await add_tokens(database, OLD)
    await rotate_secret_key(settings, old_key=OLD, new_key=NEW)
    late = Vault(OLD, HashKeys()).seal("at-0", purpose=BEARER)
    async with database.transaction() as session:
        await session.execute(update(TokenRow).where(TokenRow.id == 1).values(sealed_bearer=late))

    rotation = await rotate_secret_key(settings, old_key=OLD, new_key=NEW)

    assert rotation.resealed_count == 1
    assert await opened(database, NEW) == SECRETS


async def test_rotation_that_breaks_off_changes_nothing(database, settings):
    await check(database, OLD)
    await add_tokens(database, OLD)
    async with database.transaction() as session:
        foreign = Vault(OTHER, HashKeys()).seal("x", purpose=SECRET)
        await session.execute(update(TokenRow).where(TokenRow.id == TOKEN_COUNT).values(sealed_secret=foreign))

    with pytest.raises(RotationRefused, match=f"token {TOKEN_COUNT}"):
        await rotate_secret_key(settings, old_key=OLD, new_key=NEW)

    await check(database, OLD)
    async with database.transaction(read_only=True) as session:
        sealed = (await session.execute(select(TokenRow.sealed_secret).where(TokenRow.id == 1))).scalar_one()
    assert Vault(OLD, HashKeys()).open(sealed, purpose=SECRET) == "st-0"


async def test_rotation_with_a_wrong_old_key_is_refused(database, settings):
    await check(database, OLD)

    with pytest.raises(RotationRefused):
        await rotate_secret_key(settings, old_key=OTHER, new_key=NEW)


async def test_two_replicas_that_start_at_once_agree(database, monkeypatch):
    """The second finds the keys of the first, though it saw none when it looked."""
    first = await check(database, OLD)
    real = key_check.ensure_hash_keys
    looked = []

    async def blind_once(session, **arguments):
        if not looked:
            looked.append(True)
            session.add(SealedKeyRow(name="access", sealed="mine", created_at=NOON))
            await session.flush()
        return await real(session, **arguments)

    monkeypatch.setattr(key_check, "ensure_hash_keys", blind_once)
    second = await check(database, OLD)
    assert second.get(HashKeyName.ACCESS) == first.get(HashKeyName.ACCESS)
