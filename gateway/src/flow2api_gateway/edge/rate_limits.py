"""What an API key has left of its requests per minute, as OpenAI's headers.

Source: docs/upstream/openai.md, section 4.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

from flow2api_gateway.edge.answer_headers import note_headers
from flow2api_proto.access.v1.request_quota_pb2 import RequestQuota

_MILLISECOND = timedelta(milliseconds=1)


def note_quota(quota: RequestQuota) -> None:
    """Remember what is left for the answer of the current request; it counts when the answer has not begun."""
    note_headers(_headers(quota.limit, quota.remaining, quota.reset_duration.ToTimedelta()))


def headers_of_refusal(metadata: Mapping[str, str]) -> dict[str, str]:
    """The headers of an error that tells what is left (reason REQUESTS_PER_MINUTE); none of any other."""
    try:
        limit, remaining = int(metadata["limit_requests"]), int(metadata["remaining_requests"])
        return _headers(limit, remaining, int(metadata["reset_requests_ms"]) * _MILLISECOND)
    except (KeyError, ValueError):
        return {}


def written_duration(duration: timedelta) -> str:
    """``12ms``, ``1.5s``, ``6m0s``."""
    milliseconds = max(0, duration // _MILLISECOND)
    if milliseconds < 1000:
        return f"{milliseconds}ms"
    minutes, rest = divmod(milliseconds, 60_000)
    seconds = f"{rest / 1000:.3f}".rstrip("0").rstrip(".")
    return f"{minutes}m{seconds}s" if minutes else f"{seconds}s"


def _headers(limit: int, remaining: int, reset: timedelta) -> dict[str, str]:
    return {
        "x-ratelimit-limit-requests": str(limit),
        "x-ratelimit-remaining-requests": str(remaining),
        "x-ratelimit-reset-requests": written_duration(reset),
    }
