"""Times as Google writes them."""

from __future__ import annotations

from google.protobuf.timestamp_pb2 import Timestamp


def rfc3339(time: Timestamp) -> str:
    """``2026-11-23T12:00:00Z``."""
    return time.ToJsonString()
