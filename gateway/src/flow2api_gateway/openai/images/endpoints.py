"""``POST /v1/images/generations`` and ``/v1/images/edits``."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Final

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from flow2api_gateway.auth.dependencies import ApiKeyDep
from flow2api_gateway.auth.models import usable_model
from flow2api_gateway.edge.bodies import read_json
from flow2api_gateway.edge.event_stream import EventStream
from flow2api_gateway.edge.forms import read_json_or_form
from flow2api_gateway.edge.preferences import preferences_of
from flow2api_gateway.edge.presence import while_present
from flow2api_gateway.edge.responses import json_response
from flow2api_gateway.errors.client_fields import client_fields
from flow2api_gateway.errors.paid import after_payment
from flow2api_gateway.gateway import Gateway, GatewayDep
from flow2api_gateway.generation.images import begun_generation, collect_images, generate_images
from flow2api_gateway.generation.pictures import PictureSource, input_images
from flow2api_gateway.openai import examples
from flow2api_gateway.openai.documents import PREFER_HEADER, answers, answers_later, takes_json, takes_json_or_form
from flow2api_gateway.openai.images.edit_sources import edit_sources
from flow2api_gateway.openai.images.grpc_to_images import image_events, images_answer
from flow2api_gateway.openai.images.images_to_grpc import (
    IMAGE_FIELDS,
    answer_form,
    check_image_values,
    image_request,
)
from flow2api_gateway.openai.images.job_answers import answer_with_job
from flow2api_gateway.openai.images.schemas import EDIT_PICTURES, ImageEditRequest, ImageGenerationRequest
from flow2api_gateway.openai.requests import error_event, idempotency_key, idempotency_scope
from flow2api_proto.generation.v1 import model_pb2

router: Final = APIRouter(tags=["images"])
_PREFER: Final = {"parameters": [PREFER_HEADER]}
_ANSWERS: Final = answers_later(
    answers(
        examples.IMAGES_ANSWER,
        required=("created", "data"),
        others={"text/event-stream": "With `stream`: events as they come."},
    ),
    examples.IMAGE_JOB,
)


@router.post(
    "/v1/images/generations",
    summary="Make pictures",
    openapi_extra=takes_json(ImageGenerationRequest, examples.IMAGE_REQUEST) | _PREFER,
    responses=_ANSWERS,
)
async def create_image(request: Request, api_key: ApiKeyDep, gateway: GatewayDep) -> Response:
    """The pictures as base64 or as links, all at once or each as it comes; or a job to look for later."""
    body = await read_json(request, ImageGenerationRequest, gateway.settings.max_body_bytes)
    model = await usable_model(gateway.catalog, api_key, body.model)
    return await _answer(request, gateway, body, model, (), api_key.api_key_id, kind="image_generation")


@router.post(
    "/v1/images/edits",
    summary="Change pictures",
    openapi_extra=takes_json_or_form(ImageEditRequest, examples.EDIT_REQUEST) | _PREFER,
    responses=_ANSWERS,
)
async def edit_image(request: Request, api_key: ApiKeyDep, gateway: GatewayDep) -> Response:
    """Like generations, from one to sixteen pictures."""
    body = await read_json_or_form(request, ImageEditRequest, gateway.settings.max_body_bytes, pictures=EDIT_PICTURES)
    model = await usable_model(gateway.catalog, api_key, body.model)
    sources = edit_sources(body)
    return await _answer(request, gateway, body, model, sources, api_key.api_key_id, kind="image_edit")


async def _answer(
    request: Request,
    gateway: Gateway,
    body: ImageGenerationRequest,
    model: model_pb2.Model,
    sources: Sequence[PictureSource],
    api_key_id: str,
    *,
    kind: str,
) -> Response:
    form = answer_form(body)
    with client_fields(IMAGE_FIELDS):
        check_image_values(body, model, pictures=sources)
        pictures = await input_images(gateway, sources, api_key_id=api_key_id)
        generation = image_request(body, model, pictures, api_key_id=api_key_id, request_id=idempotency_key(request))
        generation.request_scope = idempotency_scope(request)
        preferences = preferences_of(request)
        if preferences.is_async and not body.stream:
            return await answer_with_job(request, gateway, generation, form, preferences.wait)
        events = generate_images(gateway.peers.generation, generation, timeout=gateway.settings.image_answer_timeout)
        if not body.stream:
            made = await while_present(request.receive, gateway.drain, collect_images(events))
            with after_payment():
                return json_response(await images_answer(gateway, made, form))
        beginning = begun_generation(events, patience=gateway.settings.heartbeat_interval)
        events = await while_present(request.receive, gateway.drain, beginning)
    return EventStream(
        image_events(gateway, events, form, event_name=f"{kind}.completed"),
        drain=gateway.drain,
        heartbeat=gateway.settings.heartbeat_interval,
        render_error=partial(error_event, path=request.url.path, event="error"),
    )
