"""What all OpenAI endpoints that generate have in common."""

from __future__ import annotations

from starlette.requests import Request

from flow2api_common.clock import utc_now
from flow2api_common.errors import Flow2APIError, InvalidArgument
from flow2api_gateway.edge.event_stream import data_event
from flow2api_gateway.errors.openai_errors import render_openai_error
from flow2api_gateway.gateway import Gateway
from flow2api_proto.generation.v1 import media_pb2

_MAX_IDEMPOTENCY_KEY = 255


def idempotency_key(request: Request) -> str:
    """The client's ``Idempotency-Key``; empty for none. Raises InvalidArgument when it cannot be one."""
    key = request.headers.get("idempotency-key", "").strip()
    if len(key) > _MAX_IDEMPOTENCY_KEY:
        raise InvalidArgument.of(
            "Idempotency-Key", f"The idempotency key is longer than {_MAX_IDEMPOTENCY_KEY} characters."
        )
    if not (key.isascii() and key.isprintable()):
        raise InvalidArgument.of("Idempotency-Key", "The idempotency key may hold printable ASCII characters only.")
    return key


def idempotency_scope(request: Request) -> str:
    """What the key is for: the operation, so that one key can be used once for each."""
    route = request.scope.get("route")
    return f"{request.method} {getattr(route, 'path', request.url.path)}"


def link_to(gateway: Gateway, media: media_pb2.Media, *, variant: str = "") -> str:
    """A signed link to a stored file."""
    expire_time = media.expire_time.ToDatetime(utc_now().tzinfo) if media.HasField("expire_time") else None
    return gateway.links.url_of(media.media_id, expire_time=expire_time, variant=variant)


def error_event(error: Flow2APIError, *, path: str = "", event: str = "") -> bytes:
    """An error inside a stream that has begun."""
    return data_event(render_openai_error(error, path=path).body, event=event)
