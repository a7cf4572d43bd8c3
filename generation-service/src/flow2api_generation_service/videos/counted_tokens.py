"""What the upstream has counted for a job: from the events of the poller to the table, and to those who read it."""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import func

from flow2api_generation_service.videos.models import JobRow
from flow2api_generation_service.videos.states import Stage
from flow2api_proto.events.v1 import video_events_pb2
from flow2api_proto.generation.v1 import image_pb2

COUNTS: Final = (
    "input_tokens",
    "input_text_tokens",
    "input_image_tokens",
    "input_video_tokens",
    "output_tokens",
    "thought_tokens",
)
"""The columns of the job, and the fields of the messages, which have the same names."""


def counted_by(event: video_events_pb2.VideoEvent) -> dict[str, Any]:
    """The columns that an event sets which is the first to say that its stage is ready; none if nothing was counted.

    The counts of an enlargement come on top of those of the clip.
    """
    if not event.HasField("counted_tokens"):
        return {}
    counts: dict[str, int] = {name: getattr(event.counted_tokens, name) for name in COUNTS}
    if Stage(event.stage) is Stage.GENERATE:
        return dict(counts)
    return {name: func.coalesce(getattr(JobRow, name), 0) + count for name, count in counts.items()}


def usage_of(job: JobRow) -> image_pb2.Usage | None:
    """What was counted, None where nothing was."""
    counts = {name: getattr(job, name) for name in COUNTS}
    if all(count is None for count in counts.values()):
        return None
    return image_pb2.Usage(**{name: count or 0 for name, count in counts.items()})
