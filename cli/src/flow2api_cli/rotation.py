"""Exchanging the secret key of an installation, wherever its key and its databases are."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

from pydantic import SecretStr

from flow2api_cli.settings import RotationSettings
from flow2api_cli.state import StateDirectory, read_secrets, write_secrets
from flow2api_common.settings import DatabaseSettings, SettingsError, load_settings

_KEY_BYTES = 32
_KEY = "secret_key"
# Kept until the database has the new key: a rotation that was cut short goes on with it.
_NEXT_KEY = "next_secret_key"


async def rotate(settings: RotationSettings) -> int:
    """Seal every stored secret with the new key; gives how many were sealed anew. Safe to repeat after a crash.

    Raises SettingsError when a key is missing, StateDirectoryBusy while the installation runs, and what
    `flow2api_token_service.rotate.rotate_secret_key` and the generation service's raise.
    """
    from flow2api_generation_service import migrate as generation_migrate
    from flow2api_generation_service import rotate as generation_rotate
    from flow2api_token_service.migrate import migrate
    from flow2api_token_service.rotate import rotate_secret_key

    state = StateDirectory(settings.state_dir.expanduser().resolve())
    is_private = settings.database_url is None or settings.secret_key is None
    database_url = settings.database_url or SecretStr(state.token_database_url)
    generation_url = settings.database_url or SecretStr(state.generation_database_url)
    with state.locked() if is_private else nullcontext(), _keys(settings, state) as (old_key, new_key):
        database = load_settings(DatabaseSettings, database_url=database_url)
        await migrate(database)
        rotation = await rotate_secret_key(database, old_key=old_key, new_key=new_key)
        generation = load_settings(DatabaseSettings, database_url=generation_url)
        await generation_migrate.migrate(generation)
        webhooks = await generation_rotate.rotate_secret_key(generation, old_key=old_key, new_key=new_key)
        return rotation.resealed_count + webhooks


@contextmanager
def _keys(settings: RotationSettings, state: StateDirectory) -> Iterator[tuple[SecretStr, SecretStr]]:
    """The old key and the new one; where the state directory keeps the key, it has the new one afterwards."""
    if settings.secret_key is not None:
        if settings.new_secret_key is None:
            raise SettingsError(["FLOW2API_NEW_SECRET_KEY: is required"])
        yield settings.secret_key, settings.new_secret_key
        return
    kept = read_secrets(state)
    if _KEY not in kept:
        raise SettingsError(["FLOW2API_SECRET_KEY: is required, as the state directory has no key"])
    new_key = kept.get(_NEXT_KEY) or settings.new_secret_key or SecretStr(secrets.token_urlsafe(_KEY_BYTES))
    if settings.new_secret_key is not None and settings.new_secret_key != new_key:
        raise SettingsError(
            ["FLOW2API_NEW_SECRET_KEY: another rotation was not finished; run this without it, and then once more"]
        )
    write_secrets(state, {**kept, _NEXT_KEY: new_key})
    yield kept[_KEY], new_key
    write_secrets(state, {**{name: secret for name, secret in kept.items() if name != _NEXT_KEY}, _KEY: new_key})
