"""Pictures as answers of the Images API. Source: docs/upstream/openai.md, section 7."""

from __future__ import annotations

import asyncio
import base64
import time
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any, Final

from flow2api_gateway.edge.event_stream import data_event
from flow2api_gateway.generation.images import MadePictures, sum_usage
from flow2api_gateway.media.conversion import convert_picture, format_of
from flow2api_gateway.openai.images.images_to_grpc import ImageAnswerForm
from flow2api_gateway.openai.requests import link_to
from flow2api_proto.generation.v1 import image_pb2, media_pb2

if TYPE_CHECKING:
    from flow2api_gateway.gateway import Gateway

_MAX_BYTES: Final = 64 << 20


async def images_answer(
    gateway: Gateway, made: MadePictures, form: ImageAnswerForm, *, created: int | None = None
) -> dict[str, Any]:
    """The whole answer. Pictures that failed while others came are left out. ``created``, in Unix seconds: now."""
    images = made.in_order
    data = await asyncio.gather(*(_rendered(gateway, image, form) for image in images))
    return {
        "created": int(time.time()) if created is None else created,
        "data": data,
        **(_facts(images[0].media, form) if images else {}),
        "usage": images_usage(made.usage),
    }


async def image_events(
    gateway: Gateway,
    events: AsyncIterator[image_pb2.GenerateImageResponse],
    form: ImageAnswerForm,
    *,
    event_name: str,
) -> AsyncIterator[bytes]:
    """One ``completed`` event per picture, as each comes. Progress has no event here: comments show life."""
    async for event in events:
        if event.WhichOneof("event") != "image":
            continue
        rendered = await _rendered(gateway, event.image, form)
        document = {
            "type": event_name,
            **rendered,
            "created_at": int(time.time()),
            "image_index": event.image_index,
            **_facts(event.image.media, form),
            "usage": images_usage(sum_usage([event.image])),
        }
        yield data_event(document, event=event_name)


def images_usage(usage: image_pb2.Usage) -> dict[str, Any]:
    """What the upstream counted; zero where it counts nothing."""
    return {
        "input_tokens": usage.input_tokens,
        "output_tokens": usage.output_tokens,
        "total_tokens": usage.input_tokens + usage.output_tokens,
        "input_tokens_details": {"text_tokens": usage.input_text_tokens, "image_tokens": usage.input_image_tokens},
        "output_tokens_details": {"text_tokens": 0, "image_tokens": usage.output_tokens},
    }


async def _rendered(gateway: Gateway, image: image_pb2.GeneratedImage, form: ImageAnswerForm) -> dict[str, Any]:
    media = image.media
    wanted = form.convert_to if form.convert_to and form.convert_to.content_type != media.content_type else None
    if form.as_url:
        return {"url": link_to(gateway, media, variant=wanted.variant if wanted else "")}
    content = await gateway.media_store.get(media.object_key, max_bytes=_MAX_BYTES)
    if wanted is not None:
        content = await convert_picture(content, wanted)
    encoded = await asyncio.to_thread(base64.b64encode, content)
    return {"b64_json": encoded.decode("ascii")}


def _facts(media: media_pb2.Media, form: ImageAnswerForm) -> dict[str, Any]:
    """The truth about the picture, not what was asked for."""
    output_format = form.convert_to.name if form.convert_to else format_of(media.content_type)
    facts: dict[str, Any] = {"background": "opaque", "output_format": output_format, "quality": form.quality}
    if media.width and media.height:
        facts["size"] = f"{media.width}x{media.height}"
    return facts
