"""New interactions: checked, begun, and followed to their end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request

from flow2api_gateway.auth.models import usable_model
from flow2api_gateway.edge.bodies import read_json
from flow2api_gateway.errors.client_fields import client_fields
from flow2api_gateway.gateway import Gateway
from flow2api_gateway.gemini.interactions.grpc_to_interactions import (
    RUNNING,
    begin_events,
    clip_head,
    clip_interaction,
    end_events,
    ended_clip,
    picture_interaction,
)
from flow2api_gateway.gemini.interactions.inputs import read_input
from flow2api_gateway.gemini.interactions.interaction_to_grpc import (
    INTERACTION_FIELDS,
    InteractionForm,
    clip_request,
    interaction_form,
    interaction_sources,
    picture_request,
)
from flow2api_gateway.gemini.interactions.references import InteractionReference
from flow2api_gateway.gemini.interactions.schemas import INPUT_PICTURES, CreateInteractionRequest
from flow2api_gateway.generation.images import MadePictures, collect_images
from flow2api_gateway.generation.pictures import input_images
from flow2api_gateway.generation.videos import follow_video
from flow2api_gateway.openai.requests import idempotency_key, idempotency_scope
from flow2api_proto.access.v1 import access_service_pb2
from flow2api_proto.generation.v1 import image_pb2, model_pb2, video_pb2


@dataclass(frozen=True, slots=True)
class NewInteraction:
    """A checked request, and the work that it is."""

    body: CreateInteractionRequest
    model: str
    form: InteractionForm
    work: image_pb2.GenerateImageRequest | video_pb2.CreateVideoRequest


async def read_interaction(request: Request, gateway: Gateway, api_key: access_service_pb2.ApiKey) -> NewInteraction:
    """Read and check the body; pictures are fetched. Raises InvalidArgument, NotFound, PermissionDenied."""
    body = await read_json(request, CreateInteractionRequest, gateway.settings.max_body_bytes, pictures=INPUT_PICTURES)
    name = body.model.removeprefix("models/")
    model = await usable_model(gateway.catalog, api_key, name)
    form = interaction_form(body, model)
    order = await asyncio.to_thread(read_input, body)
    # A long input need not wait for the picture with us.
    body.input = ""
    common: dict[str, Any] = {
        "api_key_id": api_key.api_key_id,
        "request_id": idempotency_key(request),
        "request_scope": idempotency_scope(request),
    }
    with client_fields(INTERACTION_FIELDS):
        sources = interaction_sources(body, order, model)
        if model.modality == model_pb2.MODALITY_VIDEO:
            clip_request(body, order, form, model, ())
            pictures = await input_images(gateway, sources, api_key_id=api_key.api_key_id)
            clip = clip_request(body, order, form, model, pictures)
            clip.MergeFrom(video_pb2.CreateVideoRequest(**common))
            return NewInteraction(body, name, form, clip)
        picture_request(body, order, form, model, (), picture_count=len(sources))
        pictures = await input_images(gateway, sources, api_key_id=api_key.api_key_id)
        picture = picture_request(body, order, form, model, pictures, picture_count=len(pictures))
        picture.MergeFrom(image_pb2.GenerateImageRequest(**common))
        return NewInteraction(body, name, form, picture)


def clip_reference(new: NewInteraction, video: video_pb2.Video) -> InteractionReference:
    """The reference of a job that was accepted."""
    return InteractionReference(new.model, video_id=video.video_id, by_uri=new.form.by_uri)


async def made_picture(gateway: Gateway, new: NewInteraction, made: MadePictures) -> dict[str, Any]:
    """The interaction of the picture that was made."""
    image = made.in_order[0]
    reference = InteractionReference(
        new.model, media_id=image.media.media_id, by_uri=new.form.by_uri, image_format=new.form.image_format
    )
    return await picture_interaction(gateway, image.media, reference, usage=made.usage, text=image.text)


async def picture_events(
    gateway: Gateway, new: NewInteraction, events: AsyncIterator[image_pb2.GenerateImageResponse]
) -> AsyncIterator[dict[str, Any]]:
    """All events, when the picture is there: only then its interaction has an id."""
    final = await made_picture(gateway, new, await collect_images(events))
    head = {name: value for name, value in final.items() if name not in ("steps", "usage")}
    for event in [*begin_events({**head, "status": RUNNING}), *end_events(final)]:
        yield event


async def clip_events(
    gateway: Gateway, video: video_pb2.Video, reference: InteractionReference, *, api_key_id: str
) -> AsyncIterator[dict[str, Any]]:
    """The first events at once, the others when the job has ended; it goes on when the client leaves."""
    for event in begin_events(clip_head(video, reference, RUNNING)):
        yield event
    versions = follow_video(
        gateway.peers.generation, video.video_id, api_key_id=api_key_id, timeout=gateway.settings.video_answer_timeout
    )
    ended = await ended_clip(versions)
    for event in end_events(await clip_interaction(gateway, ended, reference)):
        yield event
