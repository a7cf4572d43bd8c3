"""``generateContent`` and ``streamGenerateContent``."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from functools import partial
from typing import Annotated, Final

from fastapi import APIRouter, Query
from starlette.requests import Request
from starlette.responses import Response

from flow2api_common.errors import UpstreamRejected
from flow2api_gateway.auth.models import usable_model
from flow2api_gateway.edge.bodies import read_json
from flow2api_gateway.edge.event_stream import EventStream
from flow2api_gateway.edge.presence import while_present
from flow2api_gateway.edge.responses import json_response
from flow2api_gateway.errors.client_fields import client_fields
from flow2api_gateway.errors.paid import after_payment
from flow2api_gateway.gateway import Gateway, GatewayDep
from flow2api_gateway.gemini.content.content_to_grpc import CONTENT_FIELDS, content_form, content_request
from flow2api_gateway.gemini.content.conversation import read_contents
from flow2api_gateway.gemini.content.framing import BLANK, ArrayFraming, EventFraming, Framing, written_error
from flow2api_gateway.gemini.content.grpc_to_content import ContentAnswer
from flow2api_gateway.gemini.content.schemas import CONTENT_PICTURES, GenerateContentRequest
from flow2api_gateway.gemini.dialect import EXPRESS_MODELS, VERTEX_MODELS, speaks_vertex
from flow2api_gateway.gemini.documents import GOOGLE_ERRORS, streams
from flow2api_gateway.gemini.keys import GoogleKeyDep
from flow2api_gateway.gemini.models_endpoints import check_makes, require_contents
from flow2api_gateway.gemini.refusals import is_refusal
from flow2api_gateway.generation.images import begun_generation, collect_images, generate_images
from flow2api_gateway.generation.pictures import input_images
from flow2api_gateway.openai.documents import takes_json
from flow2api_gateway.openai.requests import idempotency_key, idempotency_scope
from flow2api_proto.access.v1 import access_service_pb2
from flow2api_proto.generation.v1 import image_pb2, model_pb2

router: Final = APIRouter(tags=["gemini"])
_STREAMED: Final = streams(GOOGLE_ERRORS, "A JSON array that grows; with `alt=sse` server-sent events.")


@router.post(f"{EXPRESS_MODELS}/{{model_id:path}}:generateContent", include_in_schema=False)
@router.post(
    f"{VERTEX_MODELS}/{{model_id:path}}:generateContent",
    summary="Make pictures (Vertex)",
    openapi_extra=takes_json(GenerateContentRequest),
    responses=GOOGLE_ERRORS,
)
@router.post(
    "/v1beta/models/{model_id:path}:generateContent",
    summary="Make pictures (Gemini)",
    openapi_extra=takes_json(GenerateContentRequest),
    responses=GOOGLE_ERRORS,
)
async def generate_content(request: Request, model_id: str, api_key: GoogleKeyDep, gateway: GatewayDep) -> Response:
    """The pictures as candidates, with the bytes inside. Content that was refused is an answer that says so."""
    generation, answer = await _read(request, gateway, model_id, api_key, method="generateContent")
    with client_fields(CONTENT_FIELDS):
        events = generate_images(gateway.peers.generation, generation, timeout=gateway.settings.image_answer_timeout)
        try:
            made = await while_present(request.receive, gateway.drain, collect_images(events))
        except UpstreamRejected as error:
            if not is_refusal(error):
                raise
            return json_response(answer.refused(error))
    with after_payment():
        return json_response(await answer.whole(made))


@router.post(f"{EXPRESS_MODELS}/{{model_id:path}}:streamGenerateContent", include_in_schema=False)
@router.post(
    f"{VERTEX_MODELS}/{{model_id:path}}:streamGenerateContent",
    summary="Make pictures, streamed (Vertex)",
    openapi_extra=takes_json(GenerateContentRequest),
    responses=_STREAMED,
)
@router.post(
    "/v1beta/models/{model_id:path}:streamGenerateContent",
    summary="Make pictures, streamed (Gemini)",
    openapi_extra=takes_json(GenerateContentRequest),
    responses=_STREAMED,
)
async def stream_generate_content(
    request: Request,
    model_id: str,
    api_key: GoogleKeyDep,
    gateway: GatewayDep,
    alt: Annotated[str, Query()] = "",
) -> Response:
    """Each picture as it comes: server-sent events with ``alt=sse``, else one JSON array that grows."""
    framing: Framing = EventFraming() if alt == "sse" else ArrayFraming()
    generation, answer = await _read(request, gateway, model_id, api_key, method="streamGenerateContent")
    with client_fields(CONTENT_FIELDS):
        events = generate_images(gateway.peers.generation, generation, timeout=gateway.settings.image_answer_timeout)
        beginning = begun_generation(events, patience=gateway.settings.heartbeat_interval)
        try:
            events = await while_present(request.receive, gateway.drain, beginning)
        except UpstreamRejected as error:
            if not is_refusal(error):
                raise
            return Response(framing.write(answer.refused(error)) + framing.end(), media_type=framing.media_type)
    return EventStream(
        _framed(answer, events, framing),
        drain=gateway.drain,
        heartbeat=gateway.settings.heartbeat_interval,
        render_error=partial(written_error, framing),
        heartbeat_bytes=BLANK,
        media_type=framing.media_type,
    )


async def _read(
    request: Request, gateway: Gateway, model_id: str, api_key: access_service_pb2.ApiKey, *, method: str
) -> tuple[image_pb2.GenerateImageRequest, ContentAnswer]:
    """The checked request, and how it is to be answered."""
    body = await read_json(request, GenerateContentRequest, gateway.settings.max_body_bytes, pictures=CONTENT_PICTURES)
    model = await usable_model(gateway.catalog, api_key, model_id)
    check_makes(model, model_pb2.MODALITY_IMAGE, method=method)
    require_contents(body.contents, "contents")
    form = content_form(body, model_id)
    order = await asyncio.to_thread(read_contents, body)
    # Long conversations need not wait for the picture with us.
    body.contents.clear()
    with client_fields(CONTENT_FIELDS):
        sources = order.pictures_for(model.max_input_images)
        asked = partial(
            content_request, body, order, model, api_key_id=api_key.api_key_id, request_id=idempotency_key(request)
        )
        asked((), picture_count=len(sources))
        pictures = await input_images(gateway, sources, api_key_id=api_key.api_key_id)
        generation = asked(pictures, picture_count=len(pictures))
    generation.request_scope = idempotency_scope(request)
    return generation, ContentAnswer(gateway, form, on_vertex=speaks_vertex(request.url.path))


async def _framed(
    answer: ContentAnswer, events: AsyncIterator[image_pb2.GenerateImageResponse], framing: Framing
) -> AsyncIterator[bytes]:
    async for chunk in answer.chunks(events, framing.write):
        yield chunk
    closing = framing.end()
    if closing:
        yield closing
