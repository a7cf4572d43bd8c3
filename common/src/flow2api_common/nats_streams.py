"""The streams of the project: their names, subjects and limits."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from nats.js import JetStreamContext
from nats.js.api import RetentionPolicy, StorageType, StreamConfig
from nats.js.errors import NotFoundError

VIDEO_JOBS = "VIDEO_JOBS"
VIDEO_EVENTS = "VIDEO_EVENTS"
IMAGE_JOBS = "IMAGE_JOBS"


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamLimits:
    """How long things are kept."""

    duplicate_window: timedelta = timedelta(minutes=2)
    """For so long a second message with the same ``Nats-Msg-Id`` is dropped."""
    events_max_age: timedelta = timedelta(hours=24)


async def ensure_streams(js: JetStreamContext, limits: StreamLimits) -> None:
    """Create what is missing and correct what differs; what an operator chose beside (replicas, placement) stays."""
    for wanted in _stream_configs(limits):
        name = str(wanted.name)
        try:
            existing = (await js.stream_info(name)).config
        except NotFoundError:
            await js.add_stream(wanted)
            continue
        ours = {"subjects": wanted.subjects, "max_age": wanted.max_age, "duplicate_window": wanted.duplicate_window}
        if any(getattr(existing, field) != value for field, value in ours.items()):
            await js.update_stream(existing.evolve(**ours))


def _stream_configs(limits: StreamLimits) -> tuple[StreamConfig, ...]:
    duplicate_window = limits.duplicate_window.total_seconds()
    return (
        StreamConfig(
            name=VIDEO_JOBS,
            description="What is to be done for video jobs",
            subjects=["video.submit.>", "video.poll.>"],
            retention=RetentionPolicy.WORK_QUEUE,
            storage=StorageType.FILE,
            max_age=0.0,
            duplicate_window=duplicate_window,
        ),
        StreamConfig(
            name=VIDEO_EVENTS,
            description="What became of video jobs",
            subjects=["video.events.>"],
            retention=RetentionPolicy.LIMITS,
            storage=StorageType.FILE,
            max_age=limits.events_max_age.total_seconds(),
            duplicate_window=min(duplicate_window, limits.events_max_age.total_seconds()),
        ),
        StreamConfig(
            name=IMAGE_JOBS,
            description="Image jobs to be made",
            subjects=["image.generate"],
            retention=RetentionPolicy.WORK_QUEUE,
            storage=StorageType.FILE,
            max_age=0.0,
            duplicate_window=duplicate_window,
        ),
    )
