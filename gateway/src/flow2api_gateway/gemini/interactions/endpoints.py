"""``/v1beta/interactions``: create, get, cancel, delete. Source: docs/upstream/google-official.md, section 6."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query
from starlette.requests import Request
from starlette.responses import Response

from flow2api_common.errors import FailedPrecondition, Flow2APIError
from flow2api_common.grpc_client import rpc_errors
from flow2api_gateway.edge.event_stream import DONE, EventStream
from flow2api_gateway.edge.presence import while_present
from flow2api_gateway.edge.responses import json_response
from flow2api_gateway.errors.client_fields import client_fields
from flow2api_gateway.errors.google_errors import interaction_error
from flow2api_gateway.errors.paid import after_payment
from flow2api_gateway.gateway import Gateway, GatewayDep
from flow2api_gateway.gemini.content.framing import BLANK
from flow2api_gateway.gemini.documents import INTERACTION_ERRORS, streams
from flow2api_gateway.gemini.interactions.creating import (
    NewInteraction,
    clip_events,
    clip_reference,
    made_picture,
    picture_events,
    read_interaction,
)
from flow2api_gateway.gemini.interactions.grpc_to_interactions import (
    begin_events,
    clip_interaction,
    end_events,
    ended_clip,
    picture_interaction,
    written,
)
from flow2api_gateway.gemini.interactions.interaction_to_grpc import INTERACTION_FIELDS
from flow2api_gateway.gemini.interactions.references import read_reference
from flow2api_gateway.gemini.interactions.schemas import CreateInteractionRequest
from flow2api_gateway.gemini.keys import GoogleKeyDep
from flow2api_gateway.generation.images import begun_generation, collect_images, generate_images
from flow2api_gateway.generation.videos import create_video, follow_video, get_video
from flow2api_gateway.openai.documents import takes_json
from flow2api_proto.generation.v1 import generation_service_pb2, image_pb2, video_pb2

router: Final = APIRouter(tags=["gemini"])


@router.post(
    "/v1beta/interactions",
    summary="Make a picture or a clip (Gemini)",
    openapi_extra=takes_json(CreateInteractionRequest),
    responses=streams(INTERACTION_ERRORS, "The interaction; its events with `stream`."),
)
async def create_interaction(
    request: Request, api_key: GoogleKeyDep, gateway: GatewayDep, alt: Annotated[str, Query()] = ""
) -> Response:
    """The result at once, as events with ``stream``, or, of a clip with ``background``, an id to poll."""
    new = await read_interaction(request, gateway, api_key)
    is_streamed = bool(new.body.stream) or alt == "sse"
    with client_fields(INTERACTION_FIELDS):
        if isinstance(new.work, image_pb2.GenerateImageRequest):
            return await _picture_answer(request, gateway, new, new.work, is_streamed=is_streamed)
        video = await create_video(gateway.peers.generation, new.work)
    reference = clip_reference(new, video)
    if is_streamed:
        return _stream(gateway, clip_events(gateway, video, reference, api_key_id=api_key.api_key_id))
    if not new.body.background:
        versions = follow_video(
            gateway.peers.generation,
            video.video_id,
            api_key_id=api_key.api_key_id,
            timeout=gateway.settings.video_answer_timeout,
        )
        with after_payment():
            video = await while_present(request.receive, gateway.drain, ended_clip(versions))
    with after_payment():
        return json_response(await clip_interaction(gateway, video, reference))


@router.get(
    "/v1beta/interactions/{interaction_id}",
    summary="Read an interaction",
    responses=streams(INTERACTION_ERRORS, "The interaction; its events with `stream=true`."),
)
async def get_interaction(
    interaction_id: str,
    api_key: GoogleKeyDep,
    gateway: GatewayDep,
    stream: Annotated[str, Query()] = "",
    include_input: Annotated[str, Query()] = "",
    last_event_id: Annotated[str, Query()] = "",
) -> Response:
    """How far it is, with the result when it is done; with ``stream`` its events, those after ``last_event_id``."""
    reference = read_reference(interaction_id)
    key_id = api_key.api_key_id
    if reference.video_id:
        video = await get_video(gateway.peers.generation, reference.video_id, api_key_id=key_id)
        if stream == "true":
            return _stream(gateway, clip_events(gateway, video, reference, api_key_id=key_id), after=last_event_id)
        return json_response(await clip_interaction(gateway, video, reference, with_input=include_input == "true"))
    with rpc_errors("generation"):
        answer = await gateway.peers.generation.GetMedia(
            generation_service_pb2.GetMediaRequest(media_id=reference.media_id, api_key_id=key_id)
        )
    document = await picture_interaction(gateway, answer.media, reference)
    if stream == "true":
        return _stream(gateway, _replayed(document), after=last_event_id)
    return json_response(document)


@router.post(
    "/v1beta/interactions/{interaction_id}/cancel", summary="Cancel an interaction", responses=INTERACTION_ERRORS
)
async def cancel_interaction(interaction_id: str, api_key: GoogleKeyDep, gateway: GatewayDep) -> Response:
    """Stops a clip that is being made."""
    reference = read_reference(interaction_id)
    if not reference.video_id:
        raise FailedPrecondition("The interaction is not running.", reason="VIDEO_ALREADY_FINAL")
    with rpc_errors("generation"):
        answer = await gateway.peers.generation.CancelVideo(
            video_pb2.CancelVideoRequest(video_id=reference.video_id, api_key_id=api_key.api_key_id)
        )
    return json_response(await clip_interaction(gateway, answer.video, reference))


@router.delete("/v1beta/interactions/{interaction_id}", summary="Delete an interaction", responses=INTERACTION_ERRORS)
async def delete_interaction(interaction_id: str, api_key: GoogleKeyDep, gateway: GatewayDep) -> Response:
    """Removes the clip or the picture; a running one is cancelled."""
    reference = read_reference(interaction_id)
    generation = gateway.peers.generation
    with rpc_errors("generation"):
        if reference.video_id:
            await generation.DeleteVideo(
                video_pb2.DeleteVideoRequest(video_id=reference.video_id, api_key_id=api_key.api_key_id)
            )
        else:
            await generation.DeleteMedia(
                generation_service_pb2.DeleteMediaRequest(media_id=reference.media_id, api_key_id=api_key.api_key_id)
            )
    return json_response({})


async def _picture_answer(
    request: Request,
    gateway: Gateway,
    new: NewInteraction,
    generation: image_pb2.GenerateImageRequest,
    *,
    is_streamed: bool,
) -> Response:
    """A picture is made at once, also when it was asked for in the background: then the first look finds it done."""
    events = generate_images(gateway.peers.generation, generation, timeout=gateway.settings.image_answer_timeout)
    if is_streamed:
        beginning = begun_generation(events, patience=gateway.settings.heartbeat_interval)
        events = await while_present(request.receive, gateway.drain, beginning)
        return _stream(gateway, picture_events(gateway, new, events))
    made = await while_present(request.receive, gateway.drain, collect_images(events))
    with after_payment():
        return json_response(await made_picture(gateway, new, made))


def _stream(gateway: Gateway, events: AsyncIterator[dict[str, Any]], *, after: str = "") -> EventStream:
    return EventStream(
        _written(events, after),
        drain=gateway.drain,
        heartbeat=gateway.settings.heartbeat_interval,
        render_error=_error_event,
        heartbeat_bytes=BLANK,
    )


async def _written(events: AsyncIterator[dict[str, Any]], after: str) -> AsyncIterator[bytes]:
    seen = int(after) if after.isascii() and after.isdigit() and len(after) <= 9 else -1
    number = 0
    async for event in events:
        if number > seen:
            yield written(number, event)
        number += 1
    yield DONE


async def _replayed(document: dict[str, Any]) -> AsyncIterator[dict[str, Any]]:
    head = {name: value for name, value in document.items() if name not in ("steps", "usage")}
    for event in [*begin_events({**head, "status": "in_progress"}), *end_events(document)]:
        yield event


def _error_event(error: Flow2APIError) -> bytes:
    return written(0, {"event_type": "error", "error": interaction_error(error)})
