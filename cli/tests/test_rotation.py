"""Rotating the key of a state directory: made, kept, and gone on with after a crash."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import SecretStr

from flow2api_cli.rotation import rotate
from flow2api_cli.settings import RotationSettings
from flow2api_cli.state import StateDirectory, StateDirectoryBusy, read_secrets, write_secrets
from flow2api_common.settings import DatabaseSettings, SettingsError, load_settings

OLD = SecretStr("old-secret-key-0123456789")


@pytest.fixture
def state(tmp_path: Path) -> StateDirectory:
    state = StateDirectory(tmp_path)
    write_secrets(state, {"secret_key": OLD, "api_key": SecretStr("kept")})
    return state


def settings(state: StateDirectory, **changes: object) -> RotationSettings:
    return load_settings(RotationSettings, state_dir=state.root, **changes)


async def test_a_new_key_is_made_and_kept(state: StateDirectory) -> None:
    resealed_count = await rotate(settings(state))
    kept = read_secrets(state)
    assert resealed_count == 2, "the hash keys"
    assert set(kept) == {"secret_key", "api_key"}
    assert kept["secret_key"] != OLD
    assert kept["api_key"] == SecretStr("kept")


async def test_a_rotation_that_was_cut_short_goes_on_with_its_key(state: StateDirectory) -> None:
    from flow2api_token_service.migrate import migrate
    from flow2api_token_service.rotate import rotate_secret_key

    next_key = SecretStr("next-secret-key-0123456789")
    database = load_settings(DatabaseSettings, database_url=state.token_database_url)
    await migrate(database)
    await rotate_secret_key(database, old_key=OLD, new_key=next_key)
    write_secrets(state, {"secret_key": OLD, "next_secret_key": next_key})

    with pytest.raises(SettingsError, match="not finished"):
        await rotate(settings(state, new_secret_key=SecretStr("third-secret-key-0123456789")))
    assert await rotate(settings(state)) == 0
    assert read_secrets(state) == {"secret_key": next_key}


async def test_both_keys_may_be_given(state: StateDirectory) -> None:
    with pytest.raises(SettingsError, match="FLOW2API_NEW_SECRET_KEY"):
        await rotate(settings(state, secret_key=OLD))
    new_key = SecretStr("given-secret-key-0123456789")
    assert await rotate(settings(state, secret_key=OLD, new_secret_key=new_key)) == 2
    assert read_secrets(state)["secret_key"] == OLD, "who gives keys keeps them"


async def test_an_installation_that_runs_is_left_alone(state: StateDirectory) -> None:
    with state.locked(), pytest.raises(StateDirectoryBusy):
        await rotate(settings(state))
