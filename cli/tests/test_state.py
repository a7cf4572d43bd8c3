"""The state directory: one process at a time, secrets made once and kept private."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import SecretStr

from flow2api_cli.state import (
    StateDirectory,
    StateDirectoryBroken,
    StateDirectoryBusy,
    load_or_generate_secrets,
    read_secrets,
)

LOCK = """
import sys
from pathlib import Path
from flow2api_cli.state import StateDirectory
with StateDirectory(Path(sys.argv[1])).locked():
    print("locked", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def state(tmp_path: Path) -> StateDirectory:
    return StateDirectory(tmp_path / "state")


def test_a_second_process_is_refused_until_the_first_is_gone(state: StateDirectory) -> None:
    command = [sys.executable, "-c", LOCK, str(state.root)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as holder:  # noqa: S603 - our own
        assert holder.stdout is not None
        assert holder.stdout.readline() == "locked\n"
        with pytest.raises(StateDirectoryBusy, match=f"process {holder.pid}"), state.locked():
            pytest.fail("must not be entered")
        holder.kill()
    with state.locked():
        assert state.root.is_dir()


def test_a_place_that_cannot_be_a_directory_is_reported(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StateDirectoryBroken, match="cannot be used"), StateDirectory(tmp_path / "file").locked():
        pytest.fail("must not be entered")


def test_secrets_are_made_once(state: StateDirectory) -> None:
    state.root.mkdir()
    first, generated = load_or_generate_secrets(state, {})
    assert sorted(generated) == ["admin_password", "api_key", "secret_key", "service_token"]
    assert load_or_generate_secrets(state, {}) == (first, [])


def test_given_secrets_win_and_are_not_written_down(state: StateDirectory) -> None:
    state.root.mkdir()
    secrets, generated = load_or_generate_secrets(
        state, {"api_key": SecretStr("given-by-the-operator"), "secret_key": None}
    )
    assert secrets.api_key.get_secret_value() == "given-by-the-operator"
    assert "api_key" not in generated
    assert "api_key" not in read_secrets(state)


def test_the_secrets_file_is_for_its_owner_only(state: StateDirectory) -> None:
    state.root.mkdir()
    secrets, _ = load_or_generate_secrets(state, {})
    assert state.secrets_file.stat().st_mode & 0o777 == 0o600
    assert read_secrets(state)["service_token"] == secrets.service_token
    assert secrets.service_token.get_secret_value() not in repr(secrets)


def test_a_broken_secrets_file_is_reported_without_its_content(state: StateDirectory) -> None:
    state.root.mkdir()
    state.secrets_file.write_text("api_key = sk-not-quoted")
    with pytest.raises(StateDirectoryBroken) as caught:
        read_secrets(state)
    assert "sk-not-quoted" not in str(caught.value)
