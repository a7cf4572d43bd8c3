"""The commands as people type them: help, exit codes, messages without secrets."""

from __future__ import annotations

from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from flow2api_cli.commands.token_limits import read_limits
from flow2api_cli.main import app

SECRET = "secret-value-that-must-not-be-shown"


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FLOW2API_STATE_DIR", str(tmp_path / "state"))
    return lambda *arguments: CliRunner().invoke(app, list(arguments))


def test_help_lists_the_commands(run) -> None:
    answer = run("--help")
    assert answer.exit_code == 0
    for name in (
        "up",
        "serve",
        "demo",
        "tokens",
        "keys",
        "webhooks",
        "generate",
        "jobs",
        "doctor",
        "health",
        "check-config",
        "print-config",
    ):
        assert name in answer.output


def test_version_is_printed(run) -> None:
    answer = run("version")
    assert answer.exit_code == 0
    assert answer.output.strip()[0].isdigit()


def test_all_missing_settings_of_a_service_are_reported_at_once(run) -> None:
    answer = run("serve", "token")
    assert answer.exit_code == 2
    for name in ("FLOW2API_SERVICE_TOKEN", "FLOW2API_SECRET_KEY", "FLOW2API_DATABASE_URL", "FLOW2API_REDIS_URL"):
        assert f"{name} is not set" in answer.output


def test_check_config_reports_every_mistake_of_the_all_in_one_mode(run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLOW2API_PORT", "99999")
    monkeypatch.setenv("FLOW2API_SECRET_KEY", "short")
    answer = run("check-config")
    assert answer.exit_code == 2
    assert "FLOW2API_PORT" in answer.output
    assert "FLOW2API_SECRET_KEY" in answer.output


def test_check_config_of_the_defaults_is_fine(run) -> None:
    answer = run("check-config")
    assert answer.exit_code == 0, answer.output


def test_print_config_masks_secrets(run, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SECRET_KEY", "SERVICE_TOKEN", "API_KEY", "ADMIN_PASSWORD"):
        monkeypatch.setenv(f"FLOW2API_{name}", SECRET)
    monkeypatch.setenv("FLOW2API_REDIS_URL", f"redis://:{SECRET}@127.0.0.1:1")
    answer = run("print-config")
    assert answer.exit_code == 0, answer.output
    assert SECRET not in answer.output
    assert "FLOW2API_STATE_DIR=" in answer.output


def test_admin_command_without_a_password_says_what_to_set(run) -> None:
    answer = run("tokens", "list")
    assert answer.exit_code == 1
    assert "FLOW2API_ADMIN_PASSWORD" in answer.output


def test_command_without_a_gateway_says_how_to_start_one(
    run, monkeypatch: pytest.MonkeyPatch, unused_tcp_port: int
) -> None:
    monkeypatch.setenv("FLOW2API_API_KEY", SECRET)
    answer = run("jobs", "list", "--url", f"http://127.0.0.1:{unused_tcp_port}")
    assert answer.exit_code == 1
    assert "flow2api up" in answer.output
    assert SECRET not in answer.output


def test_doctor_names_what_fails_without_secrets(run, monkeypatch: pytest.MonkeyPatch, unused_tcp_port: int) -> None:
    for name in ("FLOW_LABS_URL", "FLOW_API_URL", "GEMINI_URL", "PUBLIC_URL"):
        monkeypatch.setenv(f"FLOW2API_{name}", f"http://127.0.0.1:{unused_tcp_port}")
    monkeypatch.setenv("FLOW2API_REDIS_URL", f"redis://:{SECRET}@127.0.0.1:{unused_tcp_port}")
    answer = run("doctor")
    assert answer.exit_code == 1
    assert "FAIL Redis" in answer.output
    assert "ok   private NATS" in answer.output
    assert SECRET not in answer.output


@pytest.mark.parametrize("command", [("tokens", "import"), ("proxies", "add")])
def test_a_file_that_is_no_text_is_named_as_that(run, tmp_path: Path, command: tuple[str, ...]) -> None:
    file = tmp_path / "program"
    file.write_bytes(b"\x7fELF\xff\xfe" + SECRET.encode())

    answer = run(*command, str(file))

    assert answer.exit_code == 1
    assert "no UTF-8 text" in answer.output
    assert SECRET not in answer.output


@pytest.mark.parametrize(
    ("text", "limit"),
    [
        ("veo-*=10/2", {"requests_per_minute": 10, "concurrency": 2}),
        ("veo-*=10", {"requests_per_minute": 10}),
        ("veo-*=-/2", {"concurrency": 2}),
        ("veo-*=-1/2", {"requests_per_minute": -1, "concurrency": 2}),
    ],
)
def test_a_limit_of_a_model_is_read(text: str, limit: dict[str, int]) -> None:
    assert read_limits([text]) == {"veo-*": limit}


@pytest.mark.parametrize("text", ["veo-*", "=10", "veo-*=many", "veo-*=1/2/3"])
def test_a_limit_that_says_nothing_is_refused(text: str) -> None:
    with pytest.raises(typer.BadParameter):
        read_limits([text])
