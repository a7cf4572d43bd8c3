"""Settings of the command line itself; the services have their own."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr

from flow2api_common.settings import BaseServiceSettings

DEFAULT_HOST = "127.0.0.1"
DEFAULT_PORT = 8000


class InstallationSettings(BaseServiceSettings):
    """Where an installation is, and who may administer it."""

    host: str = DEFAULT_HOST
    """Address that the gateway listens on."""
    port: int = Field(default=DEFAULT_PORT, ge=0, le=65535)
    """Port that the gateway listens on; 0 takes a free one."""
    public_url: str = ""
    """Base of the links handed to clients; ``http://host:port`` when it is empty."""
    state_dir: Path = Path(".flow2api")
    """Databases, queues, media and generated secrets of the all-in-one mode."""
    api_key: SecretStr | None = None
    """First API key; the all-in-one mode makes one and prints it once."""
    admin_username: str = "admin"
    """First administrator."""
    admin_password: SecretStr | None = None
    """Password of the first administrator; the all-in-one mode makes one and prints it once. There is no default."""


class AllInOneSettings(InstallationSettings):
    """What ``flow2api up`` needs: nothing. What is not set is private, or kept in the state directory."""

    log_format: Literal["json", "console"] = "console"
    secret_key: SecretStr | None = Field(default=None, min_length=16)
    service_token: SecretStr | None = None
    database_url: SecretStr | None = None
    redis_url: SecretStr | None = None
    nats_url: SecretStr | None = None
    media_url: str | None = None


class RotationSettings(AllInOneSettings):
    """What ``flow2api secrets rotate`` needs: the old key is ``secret_key``, or the one in the state directory."""

    new_secret_key: SecretStr | None = Field(default=None, min_length=16)
    """The key to be; made where the state directory keeps the key."""
