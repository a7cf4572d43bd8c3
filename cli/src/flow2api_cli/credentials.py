"""Where the gateway is and who we are: from options, the settings, or the state directory of this installation."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager

from flow2api_cli.api_client import Api, ApiError, admin_api, public_api
from flow2api_cli.settings import InstallationSettings
from flow2api_cli.state import StateDirectory, read_secrets
from flow2api_common.settings import load_settings


def gateway_url(url: str | None) -> str:
    """Give ``url``, else the one that the settings say."""
    settings = load_settings(InstallationSettings)
    return url or settings.public_url or f"http://{settings.host}:{settings.port}"


def open_admin_api(url: str | None) -> AbstractAsyncContextManager[Api]:
    """The administration of the gateway at ``url``. Raises ApiError when no password is known."""
    settings = load_settings(InstallationSettings)
    password = settings.admin_password or read_secrets(StateDirectory(settings.state_dir)).get("admin_password")
    if password is None:
        raise ApiError(f"no administrator's password: set FLOW2API_ADMIN_PASSWORD, or run where {_places(settings)} is")
    return admin_api(gateway_url(url), settings.admin_username, password.get_secret_value())


def open_public_api(url: str | None) -> AbstractAsyncContextManager[Api]:
    """The public API of the gateway at ``url``. Raises ApiError when no API key is known."""
    settings = load_settings(InstallationSettings)
    key = settings.api_key or read_secrets(StateDirectory(settings.state_dir)).get("api_key")
    if key is None:
        raise ApiError(f"no API key: set FLOW2API_API_KEY, or run where {_places(settings)} is")
    return public_api(gateway_url(url), key.get_secret_value())


def _places(settings: InstallationSettings) -> str:
    return str(StateDirectory(settings.state_dir).secrets_file)
