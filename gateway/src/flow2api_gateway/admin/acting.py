"""In whose name a call to the token-service is made, for its history and its audit log."""

from __future__ import annotations

from typing import Final

import grpc.aio

from flow2api_proto.access.v1 import access_service_pb2

# Its value is bytes, as names need not be ASCII. Source: the comment of TokenService.
_ACTOR_KEY: Final = "x-flow2api-actor-bin"


def acting(admin: access_service_pb2.Admin) -> grpc.aio.Metadata:
    """Metadata for calls that change something."""
    return grpc.aio.Metadata((_ACTOR_KEY, f"admin:{admin.username}".encode()))
