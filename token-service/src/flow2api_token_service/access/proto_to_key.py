"""API keys between gRPC messages and our values."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp

from flow2api_common.errors import InvalidArgument
from flow2api_proto.access.v1 import access_service_pb2 as pb
from flow2api_proto.access.v1 import request_quota_pb2
from flow2api_token_service.access.models import ApiKeyRow
from flow2api_token_service.access.request_limit import Quota
from flow2api_token_service.tokens.token_to_proto import duration, timestamp

_FIELDS = {
    "name": "name",
    "max_concurrency": "max_concurrency",
    "weight": "weight",
    "requests_per_minute": "requests_per_minute",
    "daily_credit_budget": "daily_credit_budget",
    "daily_budget_micro_usd": "daily_budget_micro_usd",
    "allowed_models": "allowed_models",
    "expire_time": "expires_at",
}
"""What may be chosen: the field of the message, and the one of the row."""


def chosen_values(request: pb.CreateApiKeyRequest) -> dict[str, Any]:
    """The policy that CreateApiKey asks for; what it leaves out is not in it."""
    set_fields = {field.name for field, _ in request.ListFields()}
    return _values(request, [field for field in _FIELDS if field in set_fields or field == "name"])


def changed_values(request: pb.UpdateApiKeyRequest) -> dict[str, Any]:
    """What UpdateApiKey changes of the policy. Raises InvalidArgument."""
    paths = list(dict.fromkeys(request.update_mask.paths))
    if not paths:
        raise InvalidArgument.of("update_mask", "The update mask names no field.")
    unknown = sorted(set(paths) - set(_FIELDS))
    if unknown:
        raise InvalidArgument.of("update_mask", f"These fields cannot be changed: {', '.join(unknown)[:200]}.")
    return _values(request.api_key, paths)


def api_key_message(row: ApiKeyRow) -> pb.ApiKey:
    """A key without its secret."""
    return pb.ApiKey(
        api_key_id=row.id,
        name=row.name,
        prefix=row.prefix,
        max_concurrency=row.max_concurrency,
        weight=row.weight,
        requests_per_minute=row.requests_per_minute,
        daily_credit_budget=row.daily_credit_budget,
        daily_budget_micro_usd=row.daily_budget_micro_usd,
        allowed_models=row.allowed_models,
        create_time=timestamp(row.created_at),
        revoke_time=timestamp(row.revoked_at),
        expire_time=timestamp(row.expires_at),
    )


def quota_message(quota: Quota | None) -> request_quota_pb2.RequestQuota | None:
    """What is left of a minute."""
    if quota is None:
        return None
    return request_quota_pb2.RequestQuota(
        limit=quota.limit, remaining=quota.remaining, reset_duration=duration(quota.reset)
    )


def _values(message: pb.CreateApiKeyRequest | pb.ApiKey, fields: list[str]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for field in fields:
        value: Any = getattr(message, field)
        if field == "expire_time":
            value = _time(value) if message.HasField("expire_time") else None
        values[_FIELDS[field]] = list(value) if field == "allowed_models" else value
    return values


def _time(timestamp: Timestamp) -> datetime:
    try:
        return timestamp.ToDatetime(UTC)
    except (OverflowError, ValueError) as exc:
        raise InvalidArgument.of("expire_time", "This is no time.") from exc
