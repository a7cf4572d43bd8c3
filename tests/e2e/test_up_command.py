"""``flow2api up`` as its operator meets it: first start, refusal of a second one, clean stop, state kept."""

from __future__ import annotations

import signal
import tomllib
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest

from flow2api_testing.programs import (
    Program,
    SandboxProgram,
    block_until,
    flow2api,
    free_port,
    is_ready,
    run_flow2api,
    sandbox_program,
)


@pytest.fixture(scope="module")
def sandbox_upstream(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SandboxProgram]:
    with sandbox_program(tmp_path_factory.mktemp("sandbox"), time_scale="0") as running:
        yield running


@pytest.fixture
def variables(sandbox_upstream: SandboxProgram, tmp_path: Path) -> dict[str, str]:
    return sandbox_upstream.settings() | {
        "FLOW2API_STATE_DIR": str(tmp_path / "state"),
        "FLOW2API_PORT": str(free_port()),
        "FLOW2API_UPSTREAM_IMPERSONATE": "",
    }


@pytest.fixture
def up(variables: dict[str, str], tmp_path: Path) -> Iterator[Program]:
    program = flow2api("up", "up", variables=variables, directory=tmp_path)
    start(program, variables)
    yield program
    program.stop()


def start(program: Program, variables: dict[str, str]) -> None:
    program.start()
    block_until(lambda: is_ready(f"http://127.0.0.1:{variables['FLOW2API_PORT']}"), program)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_stops_everything_cleanly(up: Program, number: signal.Signals) -> None:
    servers = psutil.Process(up.pid).children(recursive=True)
    assert len(servers) >= 2
    up.send(number)
    assert up.exit_code() == 0
    assert not any(server.is_running() for server in servers)
    assert "Traceback" not in up.log()


def test_second_start_on_the_same_state_is_refused(up: Program, variables: dict[str, str]) -> None:
    second = run_flow2api("up", variables=variables | {"FLOW2API_PORT": str(free_port())})
    assert second.returncode == 1
    assert f"already runs on {variables['FLOW2API_STATE_DIR']} (process {up.pid})" in second.stderr


def test_port_in_use_is_reported_and_nothing_is_left(up: Program, variables: dict[str, str], tmp_path: Path) -> None:
    second = run_flow2api("up", variables=variables | {"FLOW2API_STATE_DIR": str(tmp_path / "other")})
    assert second.returncode == 1
    assert "gateway did not start" in second.stderr
    assert "Traceback" not in second.stderr


def test_secrets_are_made_printed_once_and_work_after_a_restart(up: Program, variables: dict[str, str]) -> None:
    secrets_file = Path(variables["FLOW2API_STATE_DIR"]) / "secrets.toml"
    secrets = tomllib.loads(secrets_file.read_text())
    assert secrets["api_key"] in up.log()
    assert secrets["admin_password"] in up.log()
    assert secrets["secret_key"] not in up.log()
    assert run_flow2api("tokens", "list", variables=variables).returncode == 0
    up.stop()
    start(up, variables)
    assert up.log().count(secrets["api_key"]) == 1
    headers = {"authorization": f"Bearer {secrets['api_key']}"}
    answer = httpx.get(f"http://127.0.0.1:{variables['FLOW2API_PORT']}/v1/models", headers=headers, trust_env=False)
    assert answer.status_code == 200


def test_a_dead_private_server_stops_the_process(up: Program) -> None:
    (nats,) = (server for server in psutil.Process(up.pid).children(recursive=True) if server.name() == "nats-server")
    nats.kill()
    assert up.exit_code() == 1
    assert "nats failed" in up.log()


def test_commands_add_an_account_make_files_and_show_the_job(
    up: Program, variables: dict[str, str], tmp_path: Path
) -> None:
    for provider, secret in (("flow", "sandbox-st-1"), ("gemini", "sandbox-key-1")):
        credential = tmp_path / provider
        credential.write_text(f"{secret}\n")
        options = ("--provider", provider, "--credential-file", str(credential))
        added = run_flow2api("tokens", "add", *options, variables=variables)
        assert added.returncode == 0, added.stderr
        assert "added token" in added.stdout
    assert "sandbox-key-1" not in added.stdout + added.stderr + up.log()

    image = tmp_path / "lighthouse.png"
    made = run_flow2api("generate", "image", "a lighthouse", "--to", str(image), variables=variables)
    assert made.returncode == 0, made.stderr
    assert str(image) in made.stdout
    assert image.stat().st_size > 0

    video = tmp_path / "waves.mp4"
    made = run_flow2api("generate", "video", "waves", "--size", "720x1280", "--to", str(video), variables=variables)
    assert made.returncode == 0, made.stderr
    assert "720x1280" in made.stdout

    listed = run_flow2api("jobs", "list", variables=variables)
    assert "completed" in listed.stdout
