"""A proxy as administrators see it: without its login."""

from __future__ import annotations

from typing import Any, Final

from flow2api_common.errors import NotFound
from flow2api_gateway.admin.times import iso_time
from flow2api_proto.tokens.v1 import proxy_service_pb2

_STATES: Final = {
    value: name.removeprefix("PROXY_STATE_").lower() for name, value in proxy_service_pb2.ProxyState.items()
}
_MICROSECONDS_PER_MS: Final = 1000


def proxy_id_of(text: str) -> int:
    """The id in a path. Raises NotFound."""
    if not (text.isascii() and text.isdigit()) or len(text) > 18:
        raise NotFound("There is no such proxy.", reason="PROXY_NOT_FOUND")
    return int(text)


def proxy_json(proxy: proxy_service_pb2.Proxy) -> dict[str, Any]:
    """One proxy. ``url`` stands for the address; a login is shown as ``…``."""
    host = f"[{proxy.host}]" if ":" in proxy.host else proxy.host
    login = "…@" if proxy.has_credentials else ""
    return {
        "id": proxy.proxy_id,
        "url": f"{proxy.scheme}://{login}{host}:{proxy.port}",
        "scheme": proxy.scheme,
        "host": proxy.host,
        "port": proxy.port,
        "has_credentials": proxy.has_credentials,
        "name": proxy.name,
        "remark": proxy.remark,
        "enabled": proxy.enabled,
        "state": _STATES.get(proxy.state, "unknown"),
        "state_reason": proxy.state_reason or None,
        "state_since": iso_time(proxy, "state_time"),
        "next_check_at": iso_time(proxy, "check_time"),
        "last_check_at": iso_time(proxy, "last_check_time"),
        "latency_ms": proxy.latency.ToMicroseconds() // _MICROSECONDS_PER_MS if proxy.HasField("latency") else None,
        "consecutive_failure_count": proxy.consecutive_failure_count,
        "token_count": proxy.token_count,
        "created_at": iso_time(proxy, "create_time"),
    }
