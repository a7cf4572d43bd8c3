"""One list of two: the audit log of the token-service, and the changes of settings of the generation-service.

Each service writes down its own changes, in the transaction or around the call that makes them; they meet here by time.
"""

from __future__ import annotations

import asyncio
import heapq
import re
from dataclasses import dataclass
from typing import Any, Final

from flow2api_common.errors import InvalidArgument
from flow2api_common.grpc_client import rpc_errors
from flow2api_gateway.admin.times import iso_time
from flow2api_gateway.gateway import Gateway
from flow2api_proto.access.v1 import access_service_pb2
from flow2api_proto.generation.v1 import settings_service_pb2

_TOKEN: Final = re.compile(r"(?P<log>\d{0,18})\.(?P<settings>\d{0,18})", re.ASCII)
_ACTIONS: Final = {"setting": "setting.update", "route": "route.switch", "order": "route.order"}


@dataclass(frozen=True, slots=True)
class AuditPage:
    """Entries, newest first; the token is empty at the end."""

    entries: list[dict[str, Any]]
    next_page_token: str


async def audit_page(gateway: Gateway, *, size: int, page_token: str) -> AuditPage:
    """One page of both. Raises InvalidArgument for ``page_token``, and what the services raise when one is away."""
    after = _TOKEN.fullmatch(page_token or ".")
    if after is None:
        raise InvalidArgument.of("page_token", "This page token was not given out by this service.")
    logged, changed = await asyncio.gather(
        _logged(gateway, size=size, page_token=after["log"]), _changed(gateway, size=size, page_token=after["settings"])
    )
    # Both are sorted already; of the same moment, the log comes first.
    merged = heapq.merge(
        ((each.create_time.ToNanoseconds(), 1, each.entry_id, _entry_json(each)) for each in logged.entries),
        ((each.create_time.ToNanoseconds(), 0, each.change_id, _change_json(each)) for each in changed.changes),
        key=lambda row: row[:2],
        reverse=True,
    )
    last_logged, last_changed = after["log"], after["settings"]
    entries: list[dict[str, Any]] = []
    for _, is_logged, row_id, document in merged:
        if len(entries) == size:
            return AuditPage(entries, f"{last_logged}.{last_changed}")
        entries.append(document)
        if is_logged:
            last_logged = str(row_id)
        else:
            last_changed = str(row_id)
    has_more = bool(logged.next_page_token or changed.next_page_token)
    return AuditPage(entries, f"{last_logged}.{last_changed}" if has_more else "")


async def _logged(gateway: Gateway, *, size: int, page_token: str) -> access_service_pb2.ListAuditLogResponse:
    with rpc_errors("token"):
        return await gateway.peers.access.ListAuditLog(
            access_service_pb2.ListAuditLogRequest(page_size=size, page_token=page_token)
        )


async def _changed(gateway: Gateway, *, size: int, page_token: str) -> settings_service_pb2.ListSettingChangesResponse:
    with rpc_errors("generation"):
        return await gateway.peers.settings.ListSettingChanges(
            settings_service_pb2.ListSettingChangesRequest(page_size=size, page_token=page_token)
        )


def _entry_json(entry: access_service_pb2.AuditEntry) -> dict[str, Any]:
    return {
        "id": entry.entry_id,
        "time": iso_time(entry, "create_time"),
        "actor": entry.actor,
        "action": entry.action,
        "target": entry.target or None,
        "detail": entry.detail or None,
        "outcome": entry.outcome,
        "request_id": entry.request_id or None,
    }


def _change_json(change: settings_service_pb2.SettingChange) -> dict[str, Any]:
    kind, _, target = change.name.partition(":")
    return {
        "id": f"setting_{change.change_id}",
        "time": iso_time(change, "create_time"),
        "actor": change.actor,
        "action": _ACTIONS.get(kind, "setting.update"),
        "target": target or None,
        "detail": f"{change.before_json or 'default'} -> {change.after_json or 'default'}",
        "outcome": "ok",
        "request_id": None,
    }
