"""Settings: environment variables ``FLOW2API_*``, over a TOML file, over defaults; built once, passed down.

A service's settings class inherits the groups that it needs; a component takes the group that it needs, not the whole.
The TOML file is named by ``FLOW2API_CONFIG`` and holds the same names in lower case without the prefix:
``database_url = "…"``.
"""

from __future__ import annotations

import os
import tomllib
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, cast

from pydantic import AfterValidator, BeforeValidator, SecretStr, ValidationError
from pydantic_settings import (
    BaseSettings,
    InitSettingsSource,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)
from pydantic_settings import SettingsError as SourceError

from flow2api_common.media_url import read_media_url

ENV_PREFIX = "FLOW2API_"
CONFIG_VARIABLE = "FLOW2API_CONFIG"
LOG_LEVELS = ("debug", "info", "warning", "error", "critical")
MIN_SECRET_KEY_LENGTH = 16

S = TypeVar("S", bound=BaseSettings)


class SettingsError(Exception):
    """The settings are wrong; ``mistakes`` has one sentence each, naming the variable and never its value."""

    def __init__(self, mistakes: list[str]) -> None:
        super().__init__("\n".join(mistakes))
        self.mistakes = mistakes


def _one_of_schemes(secret: SecretStr, *schemes: str) -> SecretStr:
    if not secret.get_secret_value().startswith(schemes):
        raise ValueError(f"must begin with {' or '.join(schemes)}")
    return secret


def _check_database_url(url: SecretStr) -> SecretStr:
    return _one_of_schemes(url, "sqlite+aiosqlite:///", "postgresql+asyncpg://")


def _check_nats_url(url: SecretStr) -> SecretStr:
    return _one_of_schemes(url, "nats://", "tls://", "ws://", "wss://")


def _check_media_url(url: str) -> str:
    read_media_url(url)
    return url


def _check_service_token(token: SecretStr) -> SecretStr:
    text = token.get_secret_value()
    if not text or not all("!" <= char <= "~" for char in text):
        raise ValueError("must be printable ASCII without spaces, and not empty")
    return token


def _check_secret_key(secret: SecretStr) -> SecretStr:
    if len(secret.get_secret_value()) < MIN_SECRET_KEY_LENGTH:
        raise ValueError(f"must have at least {MIN_SECRET_KEY_LENGTH} characters")
    return secret


def _check_log_level(level: str) -> str:
    if level.lower() not in LOG_LEVELS:
        raise ValueError(f"must be one of {', '.join(LOG_LEVELS)}")
    return level.lower()


def _check_optional_host_port(address: str) -> str:
    return _check_address(address) if address else address


def _check_address(address: str) -> str:
    if address.startswith("unix:"):
        return address
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal() or int(port) > 65535:
        raise ValueError("must be host:port or unix:/path")
    return address


def _number_of_seconds(value: object) -> object:
    # pydantic takes numbers as seconds, but the environment has only texts.
    try:
        return float(value) if isinstance(value, str) else value
    except ValueError:
        return value


def _check_not_negative(duration: timedelta) -> timedelta:
    if duration < timedelta(0):
        raise ValueError("must not be less than nothing")
    return duration


def _check_positive(duration: timedelta) -> timedelta:
    if duration <= timedelta(0):
        raise ValueError("must be longer than nothing")
    return duration


def _split_commas(value: object) -> object:
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    return value


CommaList = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split_commas)]
"""Several words, separated by commas in an environment variable."""

Pause = Annotated[timedelta, BeforeValidator(_number_of_seconds), AfterValidator(_check_not_negative)]
"""A span of time that may be nothing: seconds, or ISO 8601 such as ``PT1M30S``."""

Duration = Annotated[timedelta, BeforeValidator(_number_of_seconds), AfterValidator(_check_positive)]
"""A span of time: seconds, or ISO 8601 such as ``PT1M30S``."""

Address = Annotated[str, AfterValidator(_check_address)]
"""Where a gRPC server is: ``host:port`` or ``unix:/path``."""


class BaseServiceSettings(BaseSettings):
    """What every service has."""

    model_config = SettingsConfigDict(
        frozen=True,
        env_prefix=ENV_PREFIX,
        extra="ignore",
        hide_input_in_errors=True,
        validate_default=False,
        use_attribute_docstrings=True,
    )

    log_level: Annotated[str, AfterValidator(_check_log_level)] = "info"
    """``debug``, ``info``, ``warning``, ``error`` or ``critical``."""
    log_format: Literal["json", "console"] = "json"
    """One JSON object a line, or lines for people."""
    otlp_endpoint: str = ""
    """Where traces go, e.g. ``http://127.0.0.1:4317``; none go anywhere when it is empty."""
    metrics_addr: Annotated[str, AfterValidator(_check_optional_host_port)] = ""
    """``host:port`` on which ``/metrics`` is served; not at all when it is empty."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments, over the environment, over the TOML file."""
        del dotenv_settings, file_secret_settings
        return init_settings, env_settings, InitSettingsSource(settings_cls, _read_config_file())


class ServiceAuthSettings(BaseServiceSettings):
    """What services show each other on gRPC."""

    service_token: Annotated[SecretStr, AfterValidator(_check_service_token)]
    """Bearer that the services show each other on gRPC; the same everywhere."""


class TokenClientSettings(BaseServiceSettings):
    """Where the token service is."""

    token_addr: Address = "127.0.0.1:50051"  # noqa: S105 - an address, no secret
    """Where the token service listens, ``host:port`` or ``unix:/path``; its clients connect there."""


class GenerationClientSettings(BaseServiceSettings):
    """Where the generation service is."""

    generation_addr: Address = "127.0.0.1:50052"
    """Where the generation service listens, ``host:port`` or ``unix:/path``; its clients connect there."""


class DatabaseSettings(BaseServiceSettings):
    """``sqlite+aiosqlite:///path`` or ``postgresql+asyncpg://…``."""

    database_url: Annotated[SecretStr, AfterValidator(_check_database_url)]
    """``postgresql+asyncpg://…``, one schema per service, or ``sqlite+aiosqlite:///path``, one file per service."""


class NatsSettings(BaseServiceSettings):
    """``nats://…``; several servers of one cluster are separated by commas."""

    nats_url: Annotated[SecretStr, AfterValidator(_check_nats_url)]
    """``nats://…`` with JetStream; several servers of one cluster are separated by commas."""


class MediaSettings(BaseServiceSettings):
    """``file:///absolute/directory`` or ``s3://bucket/prefix``; see `flow2api_common.media_url`."""

    media_url: Annotated[str, AfterValidator(_check_media_url)]
    """``file:///absolute/directory`` or ``s3://bucket/prefix?endpoint=…&region=…&path_style=…`` (the credentials are in
    the usual ``AWS_…`` variables); the same for every service."""


class SecretKeySettings(BaseServiceSettings):
    """What keys are derived from (`flow2api_common.keys`): at least 16 characters."""

    secret_key: Annotated[SecretStr, AfterValidator(_check_secret_key)]
    """Encrypts stored secrets and signs media links; at least 16 characters, the same everywhere."""


class OutboundSettings(BaseServiceSettings):
    """Where requests to addresses that clients name may go; see `flow2api_common.outbound`."""

    allow_private_hosts: CommaList = ()
    """Comma list of ``host:port`` that remote pictures and webhooks may reach although it is private, over http too.
    For tests and closed networks."""


def load_settings(cls: type[S], **overrides: object) -> S:
    """Build settings from all sources; ``overrides`` win. Raises SettingsError, with every mistake at once."""
    try:
        return cls(**cast("dict[str, Any]", overrides))
    except ValidationError as error:
        # The cause is left out: pydantic keeps the rejected values in it.
        mistakes = [_describe(cls, detail) for detail in error.errors(include_url=False, include_input=False)]
    except SourceError as error:
        mistakes = [str(error)]
    raise SettingsError(mistakes) from None


def _describe(cls: type[BaseSettings], detail: Any) -> str:
    path = [str(part) for part in detail["loc"]]
    if not path:
        return f"{cls.__name__}: {detail['msg']}"
    variable = ENV_PREFIX + path[0].upper()
    if detail["type"] == "missing":
        return f"{variable} is not set (or {path[0]} in the file that {CONFIG_VARIABLE} names)"
    message = str(detail["msg"]).removeprefix("Value error, ")
    return f"{variable}: {message}"


def _read_config_file() -> dict[str, Any]:
    """What the TOML file says. Raises SettingsError when one is named and cannot be read."""
    name = os.environ.get(CONFIG_VARIABLE, "")
    if not name:
        return {}
    try:
        return tomllib.loads(Path(name).read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError([f"{CONFIG_VARIABLE}: {name} cannot be read: {error.strerror}"]) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError([f"{CONFIG_VARIABLE}: {name} is not TOML: {error}"]) from None
