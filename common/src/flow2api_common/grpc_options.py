"""Channel arguments that both ends must agree on. Source: grpc documentation, "Channel arguments" and "Keepalive"."""

from __future__ import annotations

from datetime import timedelta

DEFAULT_MAX_MESSAGE_BYTES = 72 * 1024 * 1024
"""A picture of the largest body that the gateway takes, and its frame."""

KEEPALIVE_INTERVAL = timedelta(seconds=30)
KEEPALIVE_TIMEOUT = timedelta(seconds=10)

ChannelOptions = list[tuple[str, int | str]]


def common_options(max_message_bytes: int) -> ChannelOptions:
    """Message sizes and keepalive, for a server and for a channel."""
    return [
        ("grpc.max_receive_message_length", max_message_bytes),
        ("grpc.max_send_message_length", max_message_bytes),
        ("grpc.keepalive_time_ms", KEEPALIVE_INTERVAL // timedelta(milliseconds=1)),
        ("grpc.keepalive_timeout_ms", KEEPALIVE_TIMEOUT // timedelta(milliseconds=1)),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.max_pings_without_data", 0),
    ]
