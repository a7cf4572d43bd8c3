"""Takes ``video.submit.>`` messages from JetStream and hands their jobs to the upstream."""

from __future__ import annotations

from typing import Final

from google.protobuf.message import DecodeError
from structlog.contextvars import bound_contextvars

from flow2api_common.logs import get_logger
from flow2api_common.nats_client import Delivery
from flow2api_generation_service.videos.next_step import Later, Step
from flow2api_generation_service.videos.submit_generate import GenerateStage, Route
from flow2api_generation_service.videos.submit_upscale import UpscaleStage
from flow2api_proto.events.v1 import video_events_pb2

log = get_logger(__name__)

SUBMIT_SUBJECTS: Final = "video.submit.>"
SUBMIT_DURABLE: Final = "video-submit"


class SubmitWorker:
    """Handles one message at a time per job; any number of replicas share the work.

    A message is acknowledged when its job needs no submission any more, whoever did it; a repeat is harmless.
    """

    def __init__(self, *, generate: GenerateStage, upscale: UpscaleStage) -> None:
        self._generate = generate
        self._upscale = upscale

    async def handle(self, delivery: Delivery) -> None:
        """Move the job of one message on. An exception gives the message back to JetStream."""
        try:
            message = video_events_pb2.SubmitVideo.FromString(delivery.data)
        except DecodeError:
            await delivery.term("not a SubmitVideo message")
            return
        with bound_contextvars(video_id=message.video_id):
            step: Step | Later = Step.AGAIN
            gone: set[Route] = set()
            while step is Step.AGAIN:
                if message.stage == video_events_pb2.VIDEO_STAGE_UPSCALE:
                    step = await self._upscale.step(message.video_id)
                else:
                    step = await self._generate.step(message.video_id, gone)
            if isinstance(step, Later):
                await delivery.nak(step.delay)
            else:
                await delivery.ack()
