"""A token as administrators see it: the original's fields with secrets masked, and the health state."""

from __future__ import annotations

from typing import Any, Final

from flow2api_common.errors import NotFound
from flow2api_gateway.admin.times import iso_time
from flow2api_proto.tokens.v1 import token_pb2

_STATES: Final = {value: name.removeprefix("TOKEN_STATE_").lower() for name, value in token_pb2.TokenState.items()}
# The words of the upstream, which the original shows as they are. Source: docs/upstream/flow.md, section 4.
_TIERS: Final = {
    token_pb2.TIER_NOT_PAID: "PAYGATE_TIER_NOT_PAID",
    token_pb2.TIER_ONE: "PAYGATE_TIER_ONE",
    token_pb2.TIER_TWO: "PAYGATE_TIER_TWO",
}


def state_name(state: int) -> str:
    """The state's name in lower case."""
    return _STATES.get(token_pb2.TokenState.ValueType(state), "unknown")


def token_id_of(text: str) -> int:
    """The id in a path. Raises NotFound."""
    if not (text.isascii() and text.isdigit()) or len(text) > 18:
        raise NotFound("There is no such token.", reason="TOKEN_NOT_FOUND")
    return int(text)


def token_json(token: token_pb2.Token) -> dict[str, Any]:
    """One token. ``is_active`` says that it may be chosen now."""
    is_active = token.state == token_pb2.TOKEN_STATE_ACTIVE
    stats = token.stats
    return {
        "id": token.token_id,
        "provider": token.provider,
        "st": token.masked_secret,
        "at_expires": iso_time(token, "access_token_expire_time"),
        "email": token.email,
        "name": token.name,
        "remark": token.remark,
        "is_active": is_active,
        "state": state_name(token.state),
        "state_reason": token.state_reason or None,
        "state_since": iso_time(token, "state_time"),
        "state_until": iso_time(token, "state_until_time"),
        "state_message": token.state_message or None,
        "refresh_problem": token.refresh_problem or None,
        "rests": [
            {
                "model": rest.upstream_model,
                "reason": rest.reason,
                "until": iso_time(rest, "until_time"),
                "message": rest.message or None,
            }
            for rest in token.rests
        ],
        "ban_reason": None if is_active else token.state_reason or None,
        "banned_at": None if is_active else iso_time(token, "state_time"),
        "created_at": iso_time(token, "create_time"),
        "last_used_at": iso_time(token, "last_use_time"),
        "credits": token.credits if token.HasField("credits") else None,
        "user_paygate_tier": _TIERS.get(token.tier),
        "current_project_id": token.project_id or None,
        "current_project_name": token.project_name or None,
        "project_id": token.project_id or None,
        "project_name": token.project_name or None,
        "location": token.location or None,
        "proxy_url": token.own_proxy or None,
        "proxy_id": token.proxy_id or None,
        "image_enabled": token.image_enabled,
        "video_enabled": token.video_enabled,
        "image_concurrency": token.image_concurrency,
        "video_concurrency": token.video_concurrency,
        "model_limits": {limit.upstream_model: _limit_json(limit) for limit in token.model_limits},
        "image_in_flight": token.image_leases,
        "video_in_flight": token.video_leases,
        "use_count": stats.use_count,
        "image_count": stats.image_count,
        "video_count": stats.video_count,
        "success_count": stats.success_count,
        "error_count": stats.error_count,
        "consecutive_error_count": stats.consecutive_error_count,
        "today_image_count": stats.today_image_count,
        "today_video_count": stats.today_video_count,
        "today_error_count": stats.today_error_count,
        "today_date": stats.today_date or None,
        "last_success_at": iso_time(stats, "last_success_time"),
        "last_error_at": iso_time(stats, "last_error_time"),
    }


def _limit_json(limit: token_pb2.ModelLimit) -> dict[str, int]:
    document: dict[str, int] = {}
    if limit.HasField("requests_per_minute"):
        document["requests_per_minute"] = limit.requests_per_minute
    if limit.HasField("concurrency"):
        document["concurrency"] = limit.concurrency
    return document
