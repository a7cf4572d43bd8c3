"""Proxies, from our values to gRPC messages and back."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

from flow2api_common.errors import Conflict, InvalidArgument
from flow2api_proto.tokens.v1 import proxy_service_pb2 as pb
from flow2api_proto.tokens.v1 import token_service_pb2
from flow2api_token_service.proxies.address import proxy_address
from flow2api_token_service.proxies.administration import ProxyImportResult, ProxyUpdate
from flow2api_token_service.proxies.models import ProxyRow
from flow2api_token_service.proxies.states import ProxyState
from flow2api_token_service.tokens.token_to_proto import duration, timestamp

MAX_IMPORT = 1000

_STATES = {
    ProxyState.ACTIVE: pb.PROXY_STATE_ACTIVE,
    ProxyState.SUSPECT: pb.PROXY_STATE_SUSPECT,
}
_MAX_LENGTHS = {"name": 100, "remark": 2000}
_WRITABLE = frozenset({"url", "name", "remark"})


def proxy_to_proto(row: ProxyRow, token_counts: Mapping[int, int]) -> pb.Proxy:
    """A proxy as people see it: no user, no password."""
    return pb.Proxy(
        proxy_id=row.id,
        scheme=row.scheme,
        host=row.host,
        port=row.port,
        has_credentials=row.has_credentials,
        name=row.name,
        remark=row.remark,
        enabled=row.enabled,
        state=_STATES[ProxyState(row.state)],
        state_reason=row.state_reason,
        state_time=timestamp(row.state_time),
        check_time=timestamp(row.next_check_at) if row.enabled else None,
        consecutive_failure_count=row.consecutive_failure_count,
        last_check_time=timestamp(row.last_check_at),
        latency=None if row.latency_ms is None else duration(timedelta(milliseconds=row.latency_ms)),
        token_count=token_counts.get(row.id, 0),
        create_time=timestamp(row.created_at),
    )


def proxy_import_result_to_proto(result: ProxyImportResult) -> pb.ImportProxyResult:
    """One result of an import."""
    if result.error is not None:
        violation = next((each.description for each in result.error.violations), result.error.message)
        return pb.ImportProxyResult(
            status=token_service_pb2.IMPORT_STATUS_FAILED, reason=result.error.reason, message=violation
        )
    if result.is_known:
        known = Conflict("This proxy is known already.", reason="PROXY_EXISTS")
        return pb.ImportProxyResult(
            status=token_service_pb2.IMPORT_STATUS_EXISTS,
            proxy_id=result.proxy_id,
            reason=known.reason,
            message=known.message,
        )
    return pb.ImportProxyResult(status=token_service_pb2.IMPORT_STATUS_ADDED, proxy_id=result.proxy_id)


def proxy_update(request: pb.UpdateProxyRequest) -> ProxyUpdate:
    """What UpdateProxy asks for. Raises InvalidArgument."""
    paths = set(request.update_mask.paths)
    if not paths:
        raise InvalidArgument.of("update_mask", "The update mask names no field.")
    unknown = sorted(paths - _WRITABLE)
    if unknown:
        raise InvalidArgument.of("update_mask", f"These fields cannot be changed: {', '.join(unknown)[:200]}.")
    return ProxyUpdate(
        address=proxy_address(request.url) if "url" in paths else None,
        name=checked_text("name", request.proxy.name) if "name" in paths else None,
        remark=checked_text("remark", request.proxy.remark) if "remark" in paths else None,
    )


def import_urls(request: pb.ImportProxiesRequest) -> list[str]:
    """The addresses of ImportProxies. Raises InvalidArgument."""
    if not request.urls:
        raise InvalidArgument.of("urls", "At least one address is required.")
    if len(request.urls) > MAX_IMPORT:
        raise InvalidArgument.of("urls", f"At most {MAX_IMPORT} proxies in one call.")
    return list(request.urls)


def checked_text(field: str, value: str) -> str:
    """A name or a remark. Raises InvalidArgument."""
    if len(value) > _MAX_LENGTHS[field]:
        raise InvalidArgument.of(field, f"At most {_MAX_LENGTHS[field]} characters.")
    return value
