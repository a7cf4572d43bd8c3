"""Opening a login again that wrong passwords have closed: by gRPC, as nobody can log in."""

from __future__ import annotations

from pathlib import Path

from pydantic import SecretStr

from flow2api_cli.api_client import ApiError
from flow2api_cli.settings import InstallationSettings
from flow2api_cli.state import StateDirectory, read_secrets
from flow2api_common.errors import Flow2APIError
from flow2api_common.grpc_tls import GrpcClientTlsSettings
from flow2api_common.settings import ServiceAuthSettings, TokenClientSettings, load_settings

_TIMEOUT_SECONDS = 10.0


class UnlockSettings(ServiceAuthSettings, GrpcClientTlsSettings, TokenClientSettings):
    """What a client of the token service needs."""


async def unlock_logins(*, username: str, client_address: str) -> None:
    """Forget the wrong logins for a name and from an address. Raises ApiError, SettingsError."""
    from flow2api_common.grpc_client import open_channel, rpc_errors
    from flow2api_proto.access.v1 import access_service_pb2, access_service_pb2_grpc

    settings = load_settings(UnlockSettings, **_all_in_one_here())
    tls = settings.client_tls(settings.token_server_name)
    request = access_service_pb2.UnlockLoginsRequest(username=username, client_address=client_address)
    async with open_channel(settings.token_addr, service_token=settings.service_token, tls=tls) as channel:
        try:
            with rpc_errors("token"):
                await access_service_pb2_grpc.AccessServiceStub(channel).UnlockLogins(request, timeout=_TIMEOUT_SECONDS)
        except Flow2APIError as exc:
            raise ApiError(exc.message) from exc


def _all_in_one_here() -> dict[str, str | SecretStr]:
    """How to reach the all-in-one installation of the state directory, if one runs there; else the settings say."""
    state = StateDirectory(load_settings(InstallationSettings).state_dir.expanduser().resolve())
    socket: Path = state.run / "token.sock"
    service_token = read_secrets(state).get("service_token")
    if service_token is None or not socket.exists():
        return {}
    return {"token_addr": f"unix:{socket}", "service_token": service_token}
