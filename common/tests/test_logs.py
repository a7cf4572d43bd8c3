"""No secret reaches a log, whichever way it is written."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import structlog
from pydantic import SecretStr

from flow2api_common.logs import configure_logging, get_logger, redact
from flow2api_common.settings import BaseServiceSettings

SECRETS = {
    "google access token": ("token ya29.a0AfB_by-C.xyz", "a0AfB_by"),
    "bearer header": ("Authorization: Bearer abc.def-ghi", "abc.def"),
    "basic header": ("Authorization: Basic dXNlcjpwYXNz", "dXNlcjpw"),
    "google API key": ("key AIzaSyA1234567890abc", "SyA12345"),
    "new google API key": ("key AQ.Ab8RN6LabcDEF-_x", "Ab8RN6L"),
    "our API key": ("sk-f2a-0123456789", "0123456789"),
    "session cookie": ("Cookie: a=b; __Secure-next-auth.session-token=eyJh.x.y; c=d", "eyJh"),
    "part of a session cookie": ("__Secure-next-auth.session-token.0=abcdefgh", "abcdefgh"),
    "key in a query": ("GET https://host/v1/models?key=plain-secret&x=1", "plain-secret"),
    "credentials in a URL": ("nats://user:pass%40word@host:4222", "pass%40word"),
    "redis password": ("redis://:pa55@host:6379/0", "pa55"),
    "session token": ("st eyJhbGciOiJkaXIifQ..iv123.ciphertext.tag is dead", "ciphertext"),
    "private key": ("-----BEGIN PRIVATE KEY-----\nMIIEvQ\n-----END PRIVATE KEY-----", "MIIEvQ"),
    "webhook secret": ("whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD", "C2FVsBQ"),
    "JSON member": ('{"access_token": "opaque-value"}', "opaque-value"),
}


@pytest.fixture(autouse=True)
def restored_logging() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    structlog.reset_defaults()
    root.handlers[:] = handlers
    root.setLevel(level)


def configure() -> None:
    # In the test and not in a fixture: pytest hands out another stream for each phase.
    configure_logging(BaseServiceSettings(log_level="info"), "gateway")


def entries(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


class TestRedact:
    @pytest.mark.parametrize(("text", "secret"), SECRETS.values(), ids=SECRETS.keys())
    def test_takes_the_secret_out(self, text: str, secret: str) -> None:
        assert secret not in redact(text)
        assert "[redacted]" in redact(text)

    @pytest.mark.parametrize(("text", "secret"), SECRETS.values(), ids=SECRETS.keys())
    def test_twice_is_the_same(self, text: str, secret: str) -> None:
        assert redact(redact(text)) == redact(text)

    @pytest.mark.parametrize(
        "text",
        [
            "task-runner started",
            "https://host/media/ab/media_0190.mp4?page=2",
            "lease_0190aabb of token_0190ccdd expired",
            "risk-assessment done, user@example.org wrote",
            "postgresql+asyncpg://db:5432/flow2api",
        ],
    )
    def test_leaves_the_rest(self, text: str) -> None:
        assert redact(text) == text

    def test_keeps_host_of_a_url_with_credentials(self) -> None:
        assert redact("nats://user:secret@host:4222") == "nats://[redacted]@host:4222"


class TestJsonLines:
    def test_an_entry_has_event_level_time_and_origin(self, capsys: pytest.CaptureFixture[str]) -> None:
        configure()
        get_logger("some.module").info("lease_acquired", token_id="token_1", duration_ms=3.5)
        (entry,) = entries(capsys)
        assert entry.pop("timestamp").endswith("Z")
        assert entry == {
            "event": "lease_acquired",
            "level": "info",
            "service": "gateway",
            "logger": "some.module",
            "token_id": "token_1",
            "duration_ms": 3.5,
        }

    def test_bound_context_is_in_every_entry(self, capsys: pytest.CaptureFixture[str]) -> None:
        configure()
        with structlog.contextvars.bound_contextvars(request_id="req_1"):
            get_logger("m").info("inside")
        get_logger("m").info("outside")
        inside, outside = entries(capsys)
        assert inside["request_id"] == "req_1"
        assert "request_id" not in outside

    def test_a_field_named_like_a_secret_is_masked(self, capsys: pytest.CaptureFixture[str]) -> None:
        configure()
        get_logger("m").info(
            "x", st="plain", api_key="plain", Authorization="plain", admin_password="plain", token_id="kept", at=None
        )
        (entry,) = entries(capsys)
        assert "plain" not in json.dumps(entry)
        assert entry["token_id"] == "kept"
        assert entry["at"] is None

    def test_secrets_inside_structures_are_masked(self, capsys: pytest.CaptureFixture[str]) -> None:
        configure()
        get_logger("m").info("x", body={"list": [{"password": "plain"}, "Bearer plain"]}, key=SecretStr("plain"))
        assert "plain" not in capsys.readouterr().err

    def test_a_traceback_is_redacted_and_shows_no_variables(self, capsys: pytest.CaptureFixture[str]) -> None:
        configure()

        def log_in(password: str) -> None:
            raise ValueError(f"Bearer {password}")

        try:
            log_in("-".join(["hunter", "2"]))
        except ValueError:
            get_logger("m").exception("failed")
        text = capsys.readouterr().err
        assert "ValueError: Bearer [redacted]" in text
        assert "hunter-2" not in text

    def test_what_libraries_log_is_redacted_too(self, capsys: pytest.CaptureFixture[str]) -> None:
        configure()
        logging.getLogger("some.library").warning("sent %s", "Bearer plain")
        (entry,) = entries(capsys)
        assert "plain" not in json.dumps(entry)
        assert (entry["logger"], entry["level"], entry["service"]) == ("some.library", "warning", "gateway")

    def test_lower_levels_are_left_out(self, capsys: pytest.CaptureFixture[str]) -> None:
        configure()
        get_logger("m").debug("nothing")
        assert entries(capsys) == []


def test_the_console_form_is_redacted_too(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(BaseServiceSettings(log_format="console"), "gateway")
    get_logger("m").warning("pool_empty", st="plain", note="Bearer plain")
    text = capsys.readouterr().err
    assert "pool_empty" in text
    assert "plain" not in text


def test_a_logger_made_before_the_configuration_obeys_it(capsys: pytest.CaptureFixture[str]) -> None:
    log = get_logger("early")
    configure_logging(BaseServiceSettings(), "gateway")
    log.info("late", st="plain")
    (entry,) = entries(capsys)
    assert entry["st"] == "[redacted]"


@pytest.mark.parametrize("piece", ["a", "a.", "://", "a://b "])
def test_a_long_text_is_redacted_in_time_that_grows_with_it(piece: str) -> None:
    """With a search that begins anew at each letter, 200 KB of one word would take minutes."""
    text = piece * (200_000 // len(piece))
    assert redact(text) == text


def test_the_scheme_of_a_url_may_end_a_long_word() -> None:
    assert redact("w" * 100 + "https://name:pass@host/") == "w" * 100 + "https://[redacted]@host/"
