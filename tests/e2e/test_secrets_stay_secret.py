"""After a run through the API, nothing that is kept, logged, measured or answered holds a secret in clear."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from flow2api_testing.programs import run_flow2api
from flow2api_testing.secret_run import (
    DEAD_SESSION,
    PASSPHRASE,
    add_upstream_account,
    found_secrets,
    kept_files,
    public,
    remove_proxies,
    run_with_secrets,
)
from flow2api_testing.systems import System, all_in_one_system

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("secrets")


@pytest.fixture(scope="module")
def system(directory: Path) -> Iterator[System]:
    with all_in_one_system(directory, time_scale="0") as running:
        yield running


def test_nothing_holds_a_secret_in_clear(system: System, directory: Path) -> None:
    run = run_with_secrets(system)
    kept = kept_files(directory)
    assert found_secrets({**kept, "answers": "\n".join(run.answers).encode()}, run.secrets) == []
    assert {"up.log", "tokens.db", "generation.db"} <= {Path(name).name for name in kept}
    remove_proxies(system)


def test_keys_can_be_exchanged_between_two_runs(system: System, directory: Path) -> None:
    """The key of the state directory is new, and API keys, logins and tokens work as before."""
    mine = {"st": "st-55aa00-of-the-rotation"}
    add_upstream_account(system, mine["st"])
    with system.admin() as admin:
        assert admin.post("/admin/tokens/import", json=[mine]).json()["added"] == 1
    program = system.programs["up"]
    program.stop()
    rotated = run_flow2api("secrets", "rotate", variables=system.variables)
    assert rotated.returncode == 0, rotated.stderr
    assert re.search(r"sealed \d+ secrets", rotated.stdout)
    program.start()
    system.wait_until_ready()
    with system.admin() as admin, public(system) as client:
        client.get("/v1/models").raise_for_status()
        for token in admin.get("/admin/tokens").raise_for_status().json():
            admin.post(f"/admin/tokens/{token['id']}/refresh").raise_for_status()
        assert admin.post("/admin/tokens/import", json=[mine]).json()["exists"] == 1
    program.stop()
    variables = {**system.variables, "FLOW2API_SECRET_KEY": "another-secret-key-0123456789"}
    refused = run_flow2api("up", variables=variables)
    assert refused.returncode == 1
    assert "FLOW2API_SECRET_KEY is not the key" in refused.stderr
    assert "Traceback" not in refused.stderr
    program.start()
    system.wait_until_ready()


def test_tokens_move_by_command(system: System, tmp_path: Path) -> None:
    """An export is sealed and its owner's alone, and goes in again; text goes in, with what failed shown."""
    export, passphrase, lines = tmp_path / "tokens.json", tmp_path / "passphrase", tmp_path / "lines.txt"
    passphrase.write_text(f"{PASSPHRASE}\n")
    lines.write_text(f"# mine\n{DEAD_SESSION}\n")
    sealed = ("--passphrase-file", str(passphrase), "--url", system.base_url)

    written = run_flow2api("tokens", "export", str(export), *sealed, variables=system.variables)
    again = run_flow2api("tokens", "import", str(export), *sealed, variables=system.variables)
    wrong = run_flow2api("tokens", "import", str(lines), "--url", system.base_url, variables=system.variables)
    overwriting = run_flow2api("tokens", "export", str(export), *sealed, variables=system.variables)

    assert written.returncode == 0, written.stderr
    assert export.stat().st_mode & 0o777 == 0o600
    assert again.returncode == 0, again.stderr
    assert re.search(r"0 added, [1-9]\d* in the pool already, 0 failed", again.stdout)
    assert wrong.returncode == overwriting.returncode == 1
    assert "0 added, 0 in the pool already, 1 failed" in wrong.stdout
    assert DEAD_SESSION not in wrong.stdout + wrong.stderr
