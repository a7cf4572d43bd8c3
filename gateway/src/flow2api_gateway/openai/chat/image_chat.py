"""Chat with a model that makes pictures."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

from flow2api_common.errors import UpstreamRejected
from flow2api_gateway.edge.event_stream import DONE
from flow2api_gateway.generation.images import MadePictures
from flow2api_gateway.openai.chat.grpc_to_chat import ChatAnswer, Choice, image_content, image_progress_text
from flow2api_proto.generation.v1 import image_pb2, media_pb2

LinkOf = Callable[[media_pb2.Media], str]


def image_completion(made: MadePictures, answer: ChatAnswer, link_of: LinkOf) -> dict[str, object]:
    """The whole answer: one choice per picture; a picture that failed while others came is a choice that says so."""
    choices = {
        index: Choice(content=image_content(image, link_of(image.media)), notes=image.warning)
        for index, image in made.images.items()
    }
    for index, failure in made.failures.items():
        choices[index] = _failed_choice(failure)
    return answer.completion(choices, made.usage, url=link_of(made.in_order[0].media))


async def image_chunks(
    events: AsyncIterator[image_pb2.GenerateImageResponse], answer: ChatAnswer, link_of: LinkOf, *, image_count: int
) -> AsyncIterator[bytes]:
    """The answer as it grows. A refusal of the content ends it as one; other errors leave this iterator."""
    made = MadePictures()
    for index in range(image_count):
        yield answer.chunk({"role": "assistant", "content": ""}, index=index)
    try:
        async for event in events:
            index = event.image_index
            match event.WhichOneof("event"):
                case "progress":
                    text = image_progress_text(event, image_count=image_count)
                    yield answer.chunk({"reasoning_content": text}, index=index)
                case "image":
                    made.images[index] = event.image
                    if event.image.warning:
                        yield answer.chunk({"reasoning_content": f"{event.image.warning}\n"}, index=index)
                    content = image_content(event.image, link_of(event.image.media))
                    yield answer.chunk({"content": content}, index=index)
                    yield answer.chunk({}, index=index, finish_reason="stop")
                case "failure":
                    for chunk in _failure_chunks(answer, event):
                        yield chunk
    except UpstreamRejected as error:
        if error.reason != "CONTENT_REJECTED":
            raise
        for index in range(image_count):
            yield answer.chunk({"refusal": error.message}, index=index)
            yield answer.chunk({}, index=index, finish_reason="content_filter")
    if answer.includes_usage:
        yield answer.usage_chunk(made.usage)
    yield DONE


def _failed_choice(failure: image_pb2.ImageFailure) -> Choice:
    if failure.reason == "CONTENT_REJECTED":
        return Choice(content=None, refusal=failure.message, finish_reason="content_filter")
    return Choice(content=None, notes=f"This picture failed: {failure.message}")


def _failure_chunks(answer: ChatAnswer, event: image_pb2.GenerateImageResponse) -> list[bytes]:
    choice = _failed_choice(event.failure)
    delta = {"refusal": choice.refusal} if choice.refusal else {"reasoning_content": f"{choice.notes}\n"}
    return [
        answer.chunk(delta, index=event.image_index),
        answer.chunk({}, index=event.image_index, finish_reason=choice.finish_reason),
    ]
