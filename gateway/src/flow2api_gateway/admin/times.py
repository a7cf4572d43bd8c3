"""Points in time for administrators: ISO 8601 in UTC, as the original writes them."""

from __future__ import annotations

from datetime import UTC

from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp


def iso_time(message: Message, field: str) -> str | None:
    """A timestamp field of a message; nothing when it is not set."""
    if not message.HasField(field):
        return None
    timestamp: Timestamp = getattr(message, field)
    return timestamp.ToDatetime(UTC).isoformat()
