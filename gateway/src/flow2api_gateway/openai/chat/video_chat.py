"""Chat with a model that makes clips: the job is made, then followed; it goes on when the client leaves."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

from flow2api_common.errors import InternalError
from flow2api_gateway.edge.event_stream import DONE
from flow2api_gateway.generation.videos import FINAL_STATES
from flow2api_gateway.openai.chat.grpc_to_chat import ChatAnswer, Choice, video_content, video_progress_text
from flow2api_gateway.openai.video_errors import video_failure
from flow2api_proto.generation.v1 import image_pb2, media_pb2, video_pb2

LinkOf = Callable[[media_pb2.Media], str]


async def video_completion(
    versions: AsyncIterator[video_pb2.Video], answer: ChatAnswer, link_of: LinkOf
) -> dict[str, object]:
    """The whole answer, when the job has ended. Raises the error of a job that failed."""
    async for video in versions:
        if video.state == video_pb2.VIDEO_STATE_COMPLETED:
            url = link_of(video.media)
            completion = answer.completion({0: Choice(content=video_content(url))}, video.usage, url=url)
            return completion | {"video_id": video.video_id}
        if video.state in FINAL_STATES:
            raise video_failure(video)
    raise InternalError("The watch of a video ended before the video did.")


async def video_chunks(
    versions: AsyncIterator[video_pb2.Video], answer: ChatAnswer, link_of: LinkOf
) -> AsyncIterator[bytes]:
    """The answer as it grows. A refusal of the content ends it as one; other failures leave this iterator as errors."""
    yield answer.chunk({"role": "assistant", "content": ""})
    told, usage = "", image_pb2.Usage()
    async for video in versions:
        if video.state == video_pb2.VIDEO_STATE_COMPLETED:
            usage = video.usage
            yield answer.chunk({"content": video_content(link_of(video.media))})
            yield answer.chunk({}, finish_reason="stop")
        elif video.state == video_pb2.VIDEO_STATE_FILTERED:
            yield answer.chunk({"refusal": video.error.message or "The content was refused."})
            yield answer.chunk({}, finish_reason="content_filter")
        elif video.state in FINAL_STATES:
            raise video_failure(video)
        else:
            text = video_progress_text(video)
            if text != told:
                told = text
                yield answer.chunk({"reasoning_content": text})
    if answer.includes_usage:
        yield answer.usage_chunk(usage)
    yield DONE
