"""Clips and pictures as interactions and as their events. Source: docs/upstream/google-official.md, section 6."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

from google.protobuf.timestamp_pb2 import Timestamp

from flow2api_common.errors import InternalError
from flow2api_gateway.edge.event_stream import data_event
from flow2api_gateway.errors.google_errors import interaction_error
from flow2api_gateway.gemini.files.grpc_to_files import download_uri
from flow2api_gateway.gemini.files.lookup import file_of_video
from flow2api_gateway.gemini.interactions.references import InteractionReference
from flow2api_gateway.gemini.rendering import rfc3339
from flow2api_gateway.generation.videos import FINAL_STATES
from flow2api_gateway.media.conversion import PictureFormat, convert_picture
from flow2api_gateway.openai.video_errors import video_failure
from flow2api_proto.generation.v1 import image_pb2, media_pb2, video_pb2

if TYPE_CHECKING:
    from flow2api_gateway.gateway import Gateway

_MAX_BYTES: Final = 64 << 20
_MAX_INLINE_CLIP_BYTES: Final = 16 << 20
"""Google puts no more than small clips into an answer. Source: docs/upstream/google-official.md, section 6."""
RUNNING: Final = "in_progress"
_STATUS: Final = {
    video_pb2.VIDEO_STATE_COMPLETED: "completed",
    video_pb2.VIDEO_STATE_FAILED: "failed",
    video_pb2.VIDEO_STATE_FILTERED: "failed",
    video_pb2.VIDEO_STATE_CANCELLED: "cancelled",
    video_pb2.VIDEO_STATE_EXPIRED: "failed",
}


async def clip_interaction(
    gateway: Gateway, video: video_pb2.Video, reference: InteractionReference, *, with_input: bool = False
) -> dict[str, Any]:
    """The interaction of a clip as of now."""
    status = _STATUS.get(video.state, RUNNING)
    document = clip_head(video, reference, status)
    steps: list[dict[str, Any]] = []
    if with_input:
        steps.append({"type": "user_input", "content": [{"type": "text", "text": video.prompt}]})
    if status == "completed":
        content: dict[str, Any] = {"type": "video", "mime_type": video.media.content_type or "video/mp4"}
        if reference.by_uri or video.media.size_bytes > _MAX_INLINE_CLIP_BYTES:
            content["uri"] = download_uri(gateway.links, file_of_video(video.video_id))
        else:
            content["data"] = await _encoded(gateway, video.media)
        steps.append({"type": "model_output", "content": [content]})
        document["usage"] = interaction_usage(video.usage, output="video")
    if steps:
        document["steps"] = steps
    if status == "failed":
        document["errors"] = [interaction_error(video_failure(video))]
    return document


def clip_head(video: video_pb2.Video, reference: InteractionReference, status: str) -> dict[str, Any]:
    """An interaction without its result."""
    updated = video.complete_time if video.HasField("complete_time") else video.create_time
    return _head(reference, status, video.create_time, updated)


async def picture_interaction(
    gateway: Gateway,
    media: media_pb2.Media,
    reference: InteractionReference,
    *,
    usage: image_pb2.Usage | None = None,
    text: str = "",
) -> dict[str, Any]:
    """The interaction of a picture, which is always over; without ``usage`` where nobody knows any more."""
    content: dict[str, Any] = {"type": "image", "mime_type": media.content_type}
    wanted = PictureFormat(reference.image_format) if reference.image_format else None
    if reference.by_uri:
        content["uri"] = download_uri(gateway.links, media.media_id)
    elif wanted is not None and wanted.content_type != media.content_type:
        content |= {"mime_type": wanted.content_type, "data": await _encoded(gateway, media, wanted)}
    else:
        content["data"] = await _encoded(gateway, media)
    words = [{"type": "text", "text": text.strip()}] if text.strip() else []
    document = {
        **_head(reference, "completed", media.create_time, media.create_time),
        "steps": [{"type": "model_output", "content": [*words, content]}],
    }
    if usage is not None:
        document["usage"] = interaction_usage(usage, output="image")
    return document


def interaction_usage(usage: image_pb2.Usage, *, output: str) -> dict[str, Any]:
    """What the upstream counted; zero where it counts nothing. ``output`` is the modality of what was made."""
    put_in = {
        "text": usage.input_text_tokens,
        "image": usage.input_image_tokens,
        "video": usage.input_video_tokens,
    }
    return {
        "total_input_tokens": usage.input_tokens,
        "total_output_tokens": usage.output_tokens,
        "total_thought_tokens": usage.thought_tokens,
        "total_tokens": usage.input_tokens + usage.output_tokens + usage.thought_tokens,
        "input_tokens_by_modality": _by_modality(put_in),
        "output_tokens_by_modality": _by_modality({output: usage.output_tokens}),
    }


def _by_modality(counts: Mapping[str, int]) -> list[dict[str, Any]]:
    return [{"modality": modality, "tokens": count} for modality, count in counts.items() if count]


def written(number: int, event: dict[str, Any]) -> bytes:
    """One event of a stream."""
    return data_event({**event, "event_id": str(number)}, event=event["event_type"])


def begin_events(head: dict[str, Any]) -> list[dict[str, Any]]:
    """The first events, with the interaction as it was when it began."""
    update = {"event_type": "interaction.status_update", "interaction_id": head["id"], "status": RUNNING}
    return [{"event_type": "interaction.created", "interaction": head}, update]


def end_events(final: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The events of the result."""
    for index, step in enumerate(final.get("steps", [])):
        yield {"event_type": "step.start", "index": index, "step": {"type": step["type"]}}
        for content in step["content"]:
            yield {"event_type": "step.delta", "index": index, "delta": content}
        yield {"event_type": "step.stop", "index": index}
    for error in final.get("errors", []):
        yield {"event_type": "error", "error": error}
    yield {"event_type": "interaction.completed", "interaction": final}


async def ended_clip(versions: AsyncIterator[video_pb2.Video]) -> video_pb2.Video:
    """The job at its end."""
    async for video in versions:
        if video.state in FINAL_STATES:
            return video
    raise InternalError("The watch of a video ended before the video did.")


def _head(reference: InteractionReference, status: str, created: Timestamp, updated: Timestamp) -> dict[str, Any]:
    return {
        "id": reference.interaction_id,
        "object": "interaction",
        "model": reference.model,
        "status": status,
        "created": rfc3339(created),
        "updated": rfc3339(updated),
    }


async def _encoded(gateway: Gateway, media: media_pb2.Media, wanted: PictureFormat | None = None) -> str:
    content = await gateway.media_store.get(media.object_key, max_bytes=_MAX_BYTES)
    if wanted is not None:
        content = await convert_picture(content, wanted)
    return (await asyncio.to_thread(base64.b64encode, content)).decode("ascii")
