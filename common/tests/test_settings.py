"""Settings come from three places in order, and all mistakes are told at once."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import SecretStr, ValidationError

from flow2api_common.settings import (
    BaseServiceSettings,
    DatabaseSettings,
    MediaSettings,
    NatsSettings,
    SecretKeySettings,
    ServiceAuthSettings,
    SettingsError,
    TokenClientSettings,
    load_settings,
)


class AllSettings(
    ServiceAuthSettings, DatabaseSettings, NatsSettings, MediaSettings, SecretKeySettings, TokenClientSettings
):
    """As a service's own class."""


GOOD = {
    "service_token": "tok",
    "database_url": "postgresql+asyncpg://user:hunter2@db/flow2api",
    "nats_url": "nats://user:hunter2@127.0.0.1:4222",
    "media_url": "s3://bucket/prefix",
    "secret_key": "0123456789abcdef",
}


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CONFIG", "LOG_LEVEL", "TOKEN_ADDR", "DATABASE_URL", "SERVICE_TOKEN"):
        monkeypatch.delenv(f"FLOW2API_{name}", raising=False)


def write_config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    path = tmp_path / "flow2api.toml"
    path.write_text(text, encoding="utf-8")
    monkeypatch.setenv("FLOW2API_CONFIG", str(path))


def mistakes_of(cls: type[BaseServiceSettings], **overrides: object) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        load_settings(cls, **overrides)
    return caught.value.mistakes


class TestSources:
    def test_defaults(self) -> None:
        settings = load_settings(AllSettings, **GOOD)
        assert (settings.log_level, settings.log_format, settings.metrics_addr) == ("info", "json", "")
        assert settings.token_addr == "127.0.0.1:50051"

    def test_the_file_wins_over_defaults(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        write_config(tmp_path, monkeypatch, 'token_addr = "token:1"\nunknown = 1\n')
        assert load_settings(TokenClientSettings).token_addr == "token:1"

    def test_the_environment_wins_over_the_file(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        write_config(tmp_path, monkeypatch, 'token_addr = "token:1"\n')
        monkeypatch.setenv("FLOW2API_TOKEN_ADDR", "token:2")
        assert load_settings(TokenClientSettings).token_addr == "token:2"

    def test_overrides_win_over_the_environment(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("FLOW2API_TOKEN_ADDR", "token:2")
        assert load_settings(TokenClientSettings, token_addr="unix:/run/token").token_addr == "unix:/run/token"

    def test_they_are_frozen(self) -> None:
        settings = load_settings(TokenClientSettings)
        with pytest.raises(ValidationError):
            settings.token_addr = "other:1"


class TestMistakes:
    def test_all_are_told_at_once_by_variable(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("FLOW2API_LOG_LEVEL", "loud")
        monkeypatch.setenv("FLOW2API_TOKEN_ADDR", "no-port")
        mistakes = mistakes_of(AllSettings, media_url="ftp://x", secret_key="short", nats_url="http://x")
        named = {mistake.split(":")[0].split(" ")[0] for mistake in mistakes}
        assert named == {
            "FLOW2API_LOG_LEVEL",
            "FLOW2API_TOKEN_ADDR",
            "FLOW2API_SERVICE_TOKEN",
            "FLOW2API_DATABASE_URL",
            "FLOW2API_NATS_URL",
            "FLOW2API_MEDIA_URL",
            "FLOW2API_SECRET_KEY",
        }

    def test_a_rejected_value_is_never_told(self) -> None:
        with pytest.raises(SettingsError) as caught:
            load_settings(AllSettings, **{**GOOD, "database_url": "mysql://user:hunter2@db", "secret_key": "hunter2"})
        error = caught.value
        assert "hunter2" not in f"{error}{error.__cause__}"
        assert error.__suppress_context__

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("media_url", "file://relative/path"),
            ("media_url", "s3:///no-bucket"),
            ("token_addr", "host:99999"),
            ("token_addr", ":50051"),
            ("metrics_addr", "9090"),
            ("service_token", ""),
            ("service_token", "with space"),
            ("database_url", "postgresql://db"),
        ],
    )
    def test_a_wrong_value_is_refused(self, name: str, value: str) -> None:
        (mistake,) = mistakes_of(AllSettings, **{**GOOD, name: value})
        assert mistake.startswith(f"FLOW2API_{name.upper()}: must be")

    def test_a_missing_file_is_named(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.setenv("FLOW2API_CONFIG", str(tmp_path / "absent.toml"))
        (mistake,) = mistakes_of(TokenClientSettings)
        assert "absent.toml" in mistake

    def test_a_broken_file_is_named(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        write_config(tmp_path, monkeypatch, "this is no TOML")
        (mistake,) = mistakes_of(TokenClientSettings)
        assert mistake.startswith("FLOW2API_CONFIG")


def test_secrets_do_not_show_in_a_repr() -> None:
    text = repr(load_settings(AllSettings, **GOOD))
    assert "hunter2" not in text
    assert "0123456789abcdef" not in text
    assert isinstance(load_settings(AllSettings, **GOOD).database_url, SecretStr)
