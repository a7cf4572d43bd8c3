"""A video that ended without a clip, as an error for those who wait for it in one answer."""

from __future__ import annotations

from typing import Final

from flow2api_common.errors import Flow2APIError, UpstreamRejected, UpstreamUnavailable
from flow2api_gateway.errors.openai_table import RULES_BY_REASON
from flow2api_proto.generation.v1 import video_pb2

# Codes of a failed video whose reason has another name.
_REASONS: Final = {
    "content_policy_violation": "CONTENT_REJECTED",
    "moderation_blocked": "CONTENT_REJECTED",
    "no_account_available": "NO_ELIGIBLE_TOKEN",
}


def video_failure(video: video_pb2.Video) -> Flow2APIError:
    """The error of a job that ended without a clip. Never to be repeated blindly: it may have been charged."""
    code = video.error.code or "upstream_error"
    message = video.error.message or "The video could not be made."
    reason = _REASONS.get(code, code.upper())
    if reason not in RULES_BY_REASON:
        reason = "UPSTREAM_ERROR"
    if reason == "CONTENT_REJECTED" or video.state == video_pb2.VIDEO_STATE_FILTERED:
        return UpstreamRejected(message, reason="CONTENT_REJECTED", paid=True)
    return UpstreamUnavailable(message, reason=reason, paid=True)
