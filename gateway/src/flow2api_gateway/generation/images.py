"""Image generations of the generation-service."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from flow2api_common.errors import DependencyUnavailable, InternalError
from flow2api_common.grpc_client import rpc_errors
from flow2api_gateway.edge.answer_headers import note_replay
from flow2api_gateway.edge.peeking import peeked
from flow2api_gateway.edge.rate_limits import note_quota
from flow2api_proto.generation.v1 import image_pb2

if TYPE_CHECKING:
    from flow2api_proto.generation.v1.generation_service_pb2_grpc import GenerationServiceAsyncStub

# Longer than a pool takes to say that nobody could do it; short for somebody who waits to see progress.
_QUEUE_PATIENCE: Final = timedelta(seconds=2)


@dataclass(slots=True)
class MadePictures:
    """What a finished generation has made, by the index of the picture."""

    generation_id: str = ""
    images: dict[int, image_pb2.GeneratedImage] = field(default_factory=dict)
    failures: dict[int, image_pb2.ImageFailure] = field(default_factory=dict)

    @property
    def in_order(self) -> list[image_pb2.GeneratedImage]:
        """The pictures in the order of their indexes."""
        return [self.images[index] for index in sorted(self.images)]

    @property
    def usage(self) -> image_pb2.Usage:
        """What the upstream counted for all of them."""
        return sum_usage(self.in_order)


def sum_usage(images: list[image_pb2.GeneratedImage]) -> image_pb2.Usage:
    """The sum of what the upstream counted."""
    return image_pb2.Usage(
        input_tokens=sum(image.usage.input_tokens for image in images),
        input_text_tokens=sum(image.usage.input_text_tokens for image in images),
        input_image_tokens=sum(image.usage.input_image_tokens for image in images),
        output_tokens=sum(image.usage.output_tokens for image in images),
    )


async def generate_images(
    generation: GenerationServiceAsyncStub, request: image_pb2.GenerateImageRequest, *, timeout: timedelta
) -> AsyncIterator[image_pb2.GenerateImageResponse]:
    """The events of a generation. Closing the iterator cancels the call; the service decides what is paid by then.

    A service that goes away, takes too long or has a bug after the upstream was asked leaves a generation that may be
    charged: that error says so, so that nobody repeats it blindly.
    """
    call = generation.GenerateImage(request, timeout=timeout.total_seconds())
    is_asked = False
    try:
        with rpc_errors("generation"):
            async for event in call:
                if event.HasField("request_quota"):
                    note_quota(event.request_quota)
                if event.replayed:
                    note_replay()
                is_asked = is_asked or event.progress.stage >= image_pb2.IMAGE_STAGE_GENERATING
                yield event
    except (DependencyUnavailable, InternalError) as error:
        if is_asked:
            error.metadata["paid"] = "true"
        raise
    finally:
        call.cancel()


async def begun_generation(
    events: AsyncIterator[image_pb2.GenerateImageResponse], *, patience: timedelta
) -> AsyncIterator[image_pb2.GenerateImageResponse]:
    """The same events, after an account was found or ``patience`` (at most two seconds) is over.

    What is wrong with a request, or with the pool, shows by then, and is raised while an answer can have a status.
    """
    return await peeked(events, min(patience, _QUEUE_PATIENCE), is_begun=_has_left_the_queue)


def _has_left_the_queue(event: image_pb2.GenerateImageResponse) -> bool:
    return event.WhichOneof("event") != "progress" or event.progress.stage > image_pb2.IMAGE_STAGE_QUEUED


async def collect_images(events: AsyncIterator[image_pb2.GenerateImageResponse]) -> MadePictures:
    """All pictures of a generation, at its end. Raises the error of the call; InternalError when nothing was made."""
    made = MadePictures()
    async for event in events:
        made.generation_id = event.generation_id
        kind = event.WhichOneof("event")
        if kind == "image":
            made.images[event.image_index] = event.image
        elif kind == "failure":
            made.failures[event.image_index] = event.failure
    if not made.images:
        raise InternalError("The generation ended without a picture and without an error.", metadata={"paid": "true"})
    return made
