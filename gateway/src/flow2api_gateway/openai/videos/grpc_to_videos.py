"""Jobs as Video objects. Source: docs/upstream/openai.md, section 8."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from google.protobuf.timestamp_pb2 import Timestamp

from flow2api_common.error_codes import client_code
from flow2api_proto.generation.v1 import image_pb2, media_pb2, video_pb2

LinkOf = Callable[[media_pb2.Media], str]

# The SDK's poll helper takes every other word for a final one.
_STATUS: Final = {
    video_pb2.VIDEO_STATE_QUEUED: "queued",
    video_pb2.VIDEO_STATE_SUBMITTING: "queued",
    video_pb2.VIDEO_STATE_IN_PROGRESS: "in_progress",
    video_pb2.VIDEO_STATE_UPSCALING: "in_progress",
    video_pb2.VIDEO_STATE_STORING: "in_progress",
    video_pb2.VIDEO_STATE_COMPLETED: "completed",
}
_DEFAULT_ERRORS: Final = {
    video_pb2.VIDEO_STATE_FILTERED: ("content_policy_violation", "The content was refused."),
    video_pb2.VIDEO_STATE_CANCELLED: ("cancelled", "The video was cancelled."),
    video_pb2.VIDEO_STATE_EXPIRED: ("expired", "The video was not done in time."),
}
_FAILED: Final = ("upstream_error", "The video could not be made.")


def video_status(video: video_pb2.Video) -> str:
    """``queued``, ``in_progress``, ``completed`` or ``failed``; nothing else."""
    return _STATUS.get(video.state, "failed")


def video_object(video: video_pb2.Video, link_of: LinkOf) -> dict[str, Any]:
    """The Video object; ``url``, ``queue_position``, ``usage`` and ``warning`` are ours."""
    status = video_status(video)
    document: dict[str, Any] = {
        "id": video.video_id,
        "object": "video",
        "model": video.model_id,
        "status": status,
        "progress": 100 if status == "completed" else min(video.progress_percent, 99),
        "created_at": unix_seconds(video.create_time),
        "completed_at": unix_seconds(video.complete_time) if status == "completed" else None,
        "expires_at": _when(video, "expire_time"),
        "prompt": video.prompt,
        "seconds": str(video.duration_seconds),
        "size": f"{video.size.width}x{video.size.height}" if video.size.width else "",
        "quality": "standard",
        "remixed_from_video_id": video.source_video_id or None,
        "metadata": dict(video.metadata),
        "error": _error(video) if status == "failed" else None,
    }
    if status == "queued":
        document["queue_position"] = video.queue_position
    if status == "completed" and video.media.media_id:
        document["url"] = link_of(video.media)
    if video.HasField("usage"):
        document["usage"] = _usage(video.usage)
    if video.warning:
        document["warning"] = video.warning
    return document


def video_list(videos: Sequence[video_pb2.Video], link_of: LinkOf, *, has_more: bool) -> dict[str, Any]:
    """One page; the SDK goes on from ``last_id``."""
    return {
        "object": "list",
        "data": [video_object(video, link_of) for video in videos],
        "first_id": videos[0].video_id if videos else None,
        "last_id": videos[-1].video_id if videos else None,
        "has_more": has_more and bool(videos),
    }


def unix_seconds(timestamp: Timestamp) -> int:
    """Whole seconds since 1970."""
    return timestamp.ToSeconds()


def _when(video: video_pb2.Video, name: str) -> int | None:
    return unix_seconds(getattr(video, name)) if video.HasField(name) else None  # type: ignore[arg-type] # the name of a field of Video


def _usage(usage: image_pb2.Usage) -> dict[str, Any]:
    """What the upstream counted, in the form that OpenAI has for pictures; its tokens of thinking are output."""
    put_out = usage.output_tokens + usage.thought_tokens
    return {
        "input_tokens": usage.input_tokens,
        "output_tokens": put_out,
        "total_tokens": usage.input_tokens + put_out,
        "input_tokens_details": {
            "text_tokens": usage.input_text_tokens,
            "image_tokens": usage.input_image_tokens,
            "video_tokens": usage.input_video_tokens,
        },
        "output_tokens_details": {"video_tokens": usage.output_tokens, "reasoning_tokens": usage.thought_tokens},
    }


def _error(video: video_pb2.Video) -> dict[str, str]:
    code, message = _DEFAULT_ERRORS.get(video.state, _FAILED)
    return {"code": client_code(video.error.code or code), "message": video.error.message or message}
