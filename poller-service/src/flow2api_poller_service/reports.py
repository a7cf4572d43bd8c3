"""What the poller publishes: events about jobs, and successors of its own messages.

Every event has a ``Nats-Msg-Id`` of job, stage and kind, so that the repeat of a look after a crash is dropped by
JetStream.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from nats.js.api import Header

from flow2api_common.clock import Clock
from flow2api_common.nats_client import NatsConnection
from flow2api_common.nats_errors import nats_errors
from flow2api_common.request_context import outgoing_headers
from flow2api_poller_service.carry import Carried
from flow2api_poller_service.look import Look
from flow2api_poller_service.verdicts import Ready
from flow2api_proto.events.v1 import video_events_pb2

_PUBLISH_TIMEOUT: Final = timedelta(seconds=5)
_PROGRESS_STEP: Final = 10


class Reports:
    """Publishes; every method raises DependencyUnavailable when JetStream has not taken the message."""

    def __init__(self, *, nats: NatsConnection, clock: Clock) -> None:
        self._nats = nats
        self._clock = clock

    async def progressed(self, look: Look, fraction: float) -> None:
        """The upstream tells how far it is; told on in steps, so that it does not become a stream of its own."""
        percent = int(fraction * 100) // _PROGRESS_STEP * _PROGRESS_STEP
        if 0 < percent < 100:
            event = self._event(look)
            event.progressed.progress_percent = percent
            await self._publish(event, f"progressed:{percent}")

    async def stage_done(self, look: Look, ready: Ready) -> None:
        """This step is done, and another follows under the same lease."""
        event = self._event(look)
        event.stage_done.result_handle = ready.media
        _tell_facts(event, ready)
        await self._publish(event, "stage_done")

    async def storing(self, look: Look, ready: Ready) -> None:
        """The clip is ready and goes into the store now."""
        event = self._event(look)
        event.storing.SetInParent()
        _tell_facts(event, ready)
        await self._publish(event, "storing")

    async def stored(self, look: Look, stored: video_events_pb2.VideoStored, ready: Ready) -> None:
        """The clip is in the store. What was observed is told again: this event may be the first to arrive."""
        event = self._event(look)
        event.stored.CopyFrom(stored)
        _tell_facts(event, ready)
        await self._publish(event, "stored")

    async def failed(self, look: Look, failed: video_events_pb2.VideoFailed) -> None:
        """It ended badly."""
        event = self._event(look)
        event.failed.CopyFrom(failed)
        await self._publish(event, "failed")

    async def succeed(self, look: Look, carried: Carried) -> None:
        """Publish the message anew with something to carry; the caller acknowledges the old one after it."""
        headers = outgoing_headers() | carried.headers()
        headers[Header.MSG_ID] = f"{look.message.video_id}:{look.message.stage}:after:{look.delivery.stream_sequence}"
        with nats_errors():
            await self._nats.js.publish(
                look.delivery.subject, look.delivery.data, timeout=_PUBLISH_TIMEOUT.total_seconds(), headers=headers
            )

    def _event(self, look: Look) -> video_events_pb2.VideoEvent:
        event = video_events_pb2.VideoEvent(video_id=look.message.video_id, stage=look.message.stage)
        event.event_time.FromDatetime(self._clock())
        return event

    async def _publish(self, event: video_events_pb2.VideoEvent, kind: str) -> None:
        message_id = f"{event.video_id}:{event.stage}:{kind}"
        await self._nats.publish(f"video.events.{event.video_id}", event, msg_id=message_id)


def _tell_facts(event: video_events_pb2.VideoEvent, ready: Ready) -> None:
    if ready.observed is not None:
        event.observed_duration.CopyFrom(ready.observed)
    if ready.usage is not None:
        event.counted_tokens.CopyFrom(
            video_events_pb2.CountedTokens(
                input_tokens=ready.usage.input_tokens,
                input_text_tokens=ready.usage.input_text_tokens,
                input_image_tokens=ready.usage.input_image_tokens,
                input_video_tokens=ready.usage.input_video_tokens,
                output_tokens=ready.usage.output_tokens,
                thought_tokens=ready.usage.thought_tokens,
            )
        )
