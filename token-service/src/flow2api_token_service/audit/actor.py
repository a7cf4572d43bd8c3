"""In whose name a call is made: the gateway says it in the call's metadata."""

from __future__ import annotations

from typing import Any

import grpc

ACTOR_KEY = "x-flow2api-actor-bin"
SERVICE = "service"
MAX_ACTOR_LENGTH = 120


def actor_of(context: grpc.aio.ServicerContext[Any, Any]) -> str:
    """Who acts; `SERVICE` when the caller named nobody. The service token vouches for the caller."""
    for key, value in context.invocation_metadata() or ():
        if key == ACTOR_KEY and isinstance(value, bytes):
            return value.decode("utf-8", "replace").replace("\0", "")[:MAX_ACTOR_LENGTH] or SERVICE
    return SERVICE


def admin_actor(username: str) -> str:
    """An administrator as an actor."""
    return f"admin:{username}"[:MAX_ACTOR_LENGTH]
