"""``flow2api up`` as its operator meets it: first start, refusal of a second one, clean stop, state kept."""

from __future__ import annotations

import json
import signal
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
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

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def sandbox_upstream(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SandboxProgram]:
    with sandbox_program(tmp_path_factory.mktemp("sandbox"), time_scale="0") as running:
        yield running


@pytest.fixture
def up(sandbox_upstream: SandboxProgram, tmp_path: Path) -> Iterator[Up]:
    """One for a test that stops it."""
    with running_up(sandbox_upstream, tmp_path) as running:
        yield running


@pytest.fixture(scope="module")
def shared_up(sandbox_upstream: SandboxProgram, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    """One for the tests that leave it running."""
    with running_up(sandbox_upstream, tmp_path_factory.mktemp("up")) as running:
        yield running


class Up:
    """A ``flow2api up`` and the settings that it was given."""

    def __init__(self, program: Program, variables: dict[str, str]) -> None:
        self.program = program
        self.variables = variables
        self.base_url = f"http://127.0.0.1:{variables['FLOW2API_PORT']}"
        self.state_dir = Path(variables["FLOW2API_STATE_DIR"])

    def start(self) -> None:
        self.program.start()
        block_until(lambda: is_ready(self.base_url), self.program)

    def servers(self) -> list[psutil.Process]:
        return psutil.Process(self.program.pid).children(recursive=True)


@contextmanager
def running_up(sandbox: SandboxProgram, directory: Path) -> Iterator[Up]:
    variables = sandbox.settings() | {
        "FLOW2API_STATE_DIR": str(directory / "state"),
        "FLOW2API_PORT": str(free_port()),
        "FLOW2API_UPSTREAM_IMPERSONATE": "",
        "FLOW2API_VIDEO_POLL_INTERVAL": "0.5",
    }
    running = Up(flow2api("up", "up", variables=variables, directory=directory), variables)
    try:
        running.start()
        yield running
    finally:
        running.program.stop()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_stops_everything_cleanly(up: Up, number: signal.Signals) -> None:
    servers = up.servers()
    assert len(servers) >= 2
    up.program.send(number)
    assert up.program.exit_code() == 0
    assert not any(server.is_running() for server in servers)
    assert "Traceback" not in up.program.log()


def test_second_start_on_the_same_state_is_refused(shared_up: Up) -> None:
    second = run_flow2api("up", variables=shared_up.variables | {"FLOW2API_PORT": str(free_port())})
    assert second.returncode == 1
    assert f"already runs on {shared_up.state_dir} (process {shared_up.program.pid})" in second.stderr


def test_port_in_use_is_reported(shared_up: Up, tmp_path: Path) -> None:
    second = run_flow2api("up", variables=shared_up.variables | {"FLOW2API_STATE_DIR": str(tmp_path / "other")})
    assert second.returncode == 1
    assert "gateway did not start" in second.stderr
    assert "Traceback" not in second.stderr


def test_secrets_are_made_printed_once_and_work_after_a_restart(up: Up) -> None:
    secrets = tomllib.loads((up.state_dir / "secrets.toml").read_text())
    assert secrets["api_key"] in up.program.log()
    assert secrets["admin_password"] in up.program.log()
    assert secrets["secret_key"] not in up.program.log()
    up.program.stop()
    up.start()
    assert up.program.log().count(secrets["api_key"]) == 1
    headers = {"authorization": f"Bearer {secrets['api_key']}"}
    assert httpx.get(f"{up.base_url}/v1/models", headers=headers, trust_env=False).status_code == 200


def test_dead_private_server_stops_the_process(up: Up) -> None:
    (nats,) = (server for server in up.servers() if server.name() == "nats-server")
    nats.kill()
    assert up.program.exit_code() == 1
    assert "nats failed" in up.program.log()


def test_commands_add_accounts_make_files_and_show_the_job(shared_up: Up, tmp_path: Path) -> None:
    for provider, secret in (("flow", "sandbox-st-1"), ("gemini", "sandbox-key-1")):
        credential = tmp_path / provider
        credential.write_text(f"{secret}\n")
        options = ("--provider", provider, "--credential-file", str(credential))
        added = run_flow2api("tokens", "add", *options, variables=shared_up.variables)
        assert added.returncode == 0, added.stderr
        assert "added token" in added.stdout
    assert "sandbox-key-1" not in added.stdout + added.stderr + shared_up.program.log()

    image = tmp_path / "lighthouse.png"
    made = run_flow2api("generate", "image", "a lighthouse", "--to", str(image), variables=shared_up.variables)
    assert made.returncode == 0, made.stderr
    assert str(image) in made.stdout
    assert image.stat().st_size > 0

    options = ("--size", "720x1280", "--to", str(tmp_path / "waves.mp4"))
    made = run_flow2api("generate", "video", "waves", *options, variables=shared_up.variables)
    assert made.returncode == 0, made.stderr
    assert "720x1280" in made.stdout

    assert "completed" in run_flow2api("jobs", "list", variables=shared_up.variables).stdout


def test_commands_choose_and_change_what_a_key_may_do(shared_up: Up, tmp_path: Path) -> None:
    def call(*arguments: str) -> str:
        done = run_flow2api("keys", *arguments, variables=shared_up.variables)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def generate(model: str) -> httpx.Response:
        return httpx.post(
            f"{shared_up.base_url}/v1/images/generations",
            headers={"authorization": f"Bearer {key}"},
            json={"model": model, "prompt": "a cat"},
            timeout=60,
            trust_env=False,
        )

    # Of its own: the other tests may come later, and their accounts with them.
    credential = tmp_path / "flow"
    credential.write_text("sandbox-st-2\n")
    options = ("--provider", "flow", "--credential-file", str(credential))
    added = run_flow2api("tokens", "add", *options, variables=shared_up.variables)
    assert added.returncode == 0, added.stderr
    key = call("create", "limited", "--requests-per-minute", "2", "--allow-model", "gemini-2.5-*").strip()
    (row,) = (each for each in json.loads(call("list", "--json")) if each["name"] == "limited")
    first = generate("gemini-2.5-flash-image")
    assert (first.status_code, first.headers["x-ratelimit-remaining-requests"]) == (200, "1")
    assert generate("gemini-3.1-flash-image").json()["error"]["code"] == "model_not_allowed"
    assert generate("gemini-2.5-flash-image").status_code == 200
    full = generate("gemini-2.5-flash-image")
    assert (full.status_code, full.json()["error"]["code"]) == (429, "rate_limit_exceeded")
    assert 0 < int(full.headers["retry-after"]) <= 60

    changed = call("update", row["id"], "--requests-per-minute", "9", "--weight", "4", "--max-concurrency", "2")
    assert "gemini-2.5-*" in changed
    assert generate("gemini-2.5-flash-image").headers["x-ratelimit-remaining-requests"] == "6"
    call("revoke", row["id"])


def test_commands_look_after_administrators(shared_up: Up, tmp_path: Path) -> None:
    def call(*arguments: str) -> str:
        done = run_flow2api("admins", *arguments, variables=shared_up.variables)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def login(password: str) -> int:
        body = {"username": "second", "password": password}
        return httpx.post(f"{shared_up.base_url}/admin/login", json=body, trust_env=False).status_code

    secret = tmp_path / "password"
    secret.write_text("battery staple\n")
    call("create", "second", "--password-file", str(secret))
    (row,) = (each for each in json.loads(call("list", "--json")) if each["username"] == "second")
    assert [login("wrong") for _ in range(10)] == [401] * 10
    assert login("battery staple") == 429
    call("unlock", "second", "--address", "127.0.0.1")
    assert login("battery staple") == 200
    assert "second" in call("sessions")
    secret.write_text("brand new word")
    call("reset-password", row["id"], "--password-file", str(secret))
    assert [login("battery staple"), login("brand new word")] == [401, 200]
    call("delete", row["id"])
    assert login("brand new word") == 401


def test_commands_make_list_and_revoke_an_api_key(shared_up: Up) -> None:
    def models(key: str) -> int:
        headers = {"authorization": f"Bearer {key}"}
        return httpx.get(f"{shared_up.base_url}/v1/models", headers=headers, trust_env=False).status_code

    made = run_flow2api("keys", "create", "for a friend", variables=shared_up.variables)
    assert made.returncode == 0, made.stderr
    key = made.stdout.strip()
    assert models(key) == 200

    listed = run_flow2api("keys", "list", "--json", variables=shared_up.variables)
    assert key not in listed.stdout
    (row,) = (each for each in json.loads(listed.stdout) if each["name"] == "for a friend")
    revoked = run_flow2api("keys", "revoke", str(row["id"]), variables=shared_up.variables)
    assert revoked.returncode == 0, revoked.stderr
    listed = run_flow2api("keys", "list", "--json", variables=shared_up.variables)
    assert [each["is_active"] for each in json.loads(listed.stdout) if each["id"] == row["id"]] == [False]
