"""What a list of videos is narrowed by; extensions of ours."""

from __future__ import annotations

from typing import Final

from google.protobuf.timestamp_pb2 import Timestamp

from flow2api_common.errors import InvalidArgument
from flow2api_proto.generation.v1 import video_pb2

_STATES: Final[dict[str, tuple[video_pb2.VideoState.ValueType, ...]]] = {
    "queued": (video_pb2.VIDEO_STATE_QUEUED, video_pb2.VIDEO_STATE_SUBMITTING),
    "in_progress": (
        video_pb2.VIDEO_STATE_IN_PROGRESS,
        video_pb2.VIDEO_STATE_UPSCALING,
        video_pb2.VIDEO_STATE_STORING,
    ),
    "completed": (video_pb2.VIDEO_STATE_COMPLETED,),
    "failed": (
        video_pb2.VIDEO_STATE_FAILED,
        video_pb2.VIDEO_STATE_FILTERED,
        video_pb2.VIDEO_STATE_CANCELLED,
        video_pb2.VIDEO_STATE_EXPIRED,
    ),
    # Kinds of failed videos.
    "filtered": (video_pb2.VIDEO_STATE_FILTERED,),
    "cancelled": (video_pb2.VIDEO_STATE_CANCELLED,),
    "expired": (video_pb2.VIDEO_STATE_EXPIRED,),
}
_MAX_WORDS: Final = 20


def states_of(text: str) -> list[video_pb2.VideoState.ValueType]:
    """The states behind the statuses that a client names. Raises InvalidArgument on ``status``."""
    words = words_of(text)
    if any(word not in _STATES for word in words):
        raise InvalidArgument.of("status", f"'status' must be of {', '.join(_STATES)}.")
    return [state for word in words for state in _STATES[word]]


def words_of(text: str) -> list[str]:
    """Words separated by commas; at most twenty are read."""
    return [word.strip() for word in text.split(",") if word.strip()][:_MAX_WORDS]


def time_of(text: str, *, param: str) -> Timestamp | None:
    """A time in Unix seconds. Raises InvalidArgument on ``param``."""
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= 10):
        raise InvalidArgument.of(param, f"'{param}' must be Unix seconds.")
    return Timestamp(seconds=int(text))
