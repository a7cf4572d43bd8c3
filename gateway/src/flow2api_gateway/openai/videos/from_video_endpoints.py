"""New videos from completed ones: remix, edit, extend."""

from __future__ import annotations

from typing import Final

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from flow2api_common.errors import FailedPrecondition, FieldViolation, NotFound
from flow2api_gateway.auth.dependencies import ApiKeyDep
from flow2api_gateway.auth.models import usable_model
from flow2api_gateway.edge.bodies import read_json
from flow2api_gateway.edge.forms import read_json_or_form
from flow2api_gateway.errors.client_fields import client_fields
from flow2api_gateway.gateway import Gateway, GatewayDep
from flow2api_gateway.generation.videos import accept_video, get_video
from flow2api_gateway.openai import examples
from flow2api_gateway.openai.documents import answers, takes_json, takes_json_or_form
from flow2api_gateway.openai.options import parse_seconds
from flow2api_gateway.openai.requests import idempotency_key, idempotency_scope
from flow2api_gateway.openai.videos.deadlines import deadline_of
from flow2api_gateway.openai.videos.endpoints import video_answer
from flow2api_gateway.openai.videos.grpc_to_videos import video_status
from flow2api_gateway.openai.videos.schemas import VideoEditRequest, VideoExtendRequest, VideoRemixRequest
from flow2api_gateway.openai.videos.videos_to_grpc import VIDEO_FIELDS, check_prompt, source_video
from flow2api_proto.access.v1 import access_service_pb2
from flow2api_proto.generation.v1 import video_pb2

# Included before the routes of `{video_id}`, which would take these words for an id.
router: Final = APIRouter(tags=["videos"])
_VIDEO: Final = answers(examples.VIDEO)
_SOURCE: Final = {"prompt": "at night", "video": {"id": "video_0190c2"}}


@router.post(
    "/v1/videos/edits",
    summary="Edit a video",
    openapi_extra=takes_json_or_form(VideoEditRequest, _SOURCE),
    responses=_VIDEO,
)
async def edit(request: Request, api_key: ApiKeyDep, gateway: GatewayDep) -> Response:
    """A new video from a completed one with another prompt."""
    body = await read_json_or_form(request, VideoEditRequest, gateway.settings.max_body_bytes)
    return await _from_video(request, gateway, api_key, body, source_video(body.video), param="video")


@router.post("/v1/videos/characters", include_in_schema=False)
async def no_characters(api_key: ApiKeyDep) -> Response:
    """Characters of OpenAI's are not made here; without this, `{video_id}` would answer that POST is not its method."""
    del api_key
    raise NotFound("Invalid URL (POST /v1/videos/characters)", reason="ROUTE_NOT_FOUND")


@router.post(
    "/v1/videos/extensions",
    summary="Extend a video",
    openapi_extra=takes_json_or_form(VideoExtendRequest, _SOURCE | {"seconds": "8"}),
    responses=_VIDEO,
)
async def extend(request: Request, api_key: ApiKeyDep, gateway: GatewayDep) -> Response:
    """A new video that goes on where a completed one ends."""
    body = await read_json_or_form(request, VideoExtendRequest, gateway.settings.max_body_bytes)
    video_id, seconds = source_video(body.video), body.seconds
    return await _from_video(request, gateway, api_key, body, video_id, param="video", wanted_seconds=seconds)


@router.post(
    "/v1/videos/{video_id}/remix",
    summary="Remix a video",
    openapi_extra=takes_json(VideoRemixRequest, {"prompt": "at night"}),
    responses=_VIDEO,
)
async def remix(request: Request, video_id: str, api_key: ApiKeyDep, gateway: GatewayDep) -> Response:
    """A new video from a completed one with another prompt."""
    body = await read_json(request, VideoRemixRequest, gateway.settings.max_body_bytes)
    return await _from_video(request, gateway, api_key, body, video_id)


async def _from_video(
    request: Request,
    gateway: Gateway,
    api_key: access_service_pb2.ApiKey,
    body: VideoRemixRequest,
    video_id: str,
    *,
    param: str = "",
    wanted_seconds: str | float | None = None,
) -> Response:
    named = await usable_model(gateway.catalog, api_key, body.model) if body.model else None
    source = await _source(gateway, api_key, video_id, param)
    model = named or await usable_model(gateway.catalog, api_key, source.model_id)
    if video_status(source) != "completed":
        raise FailedPrecondition("Only a completed video can be gone on from.", reason="VIDEO_NOT_READY")
    check_prompt(body.prompt)
    job = video_pb2.CreateVideoRequest(
        model_id=model.model_id,
        prompt=body.prompt,
        size=source.size,
        duration_seconds=parse_seconds(wanted_seconds, model.durations_seconds),
        source_video_id=video_id,
        api_key_id=api_key.api_key_id,
        request_id=idempotency_key(request),
        request_scope=idempotency_scope(request),
        webhook_url=body.webhook_url or "",
        webhook_secret=body.webhook_secret.get_secret_value() if body.webhook_secret else "",
        deadline_time=deadline_of(body.deadline, body.expires_after),
    )
    with client_fields(VIDEO_FIELDS):
        accepted = await accept_video(gateway.peers.generation, job)
    return video_answer(gateway, accepted.video, webhook_secret=accepted.webhook_secret)


async def _source(gateway: Gateway, api_key: access_service_pb2.ApiKey, video_id: str, param: str) -> video_pb2.Video:
    """The video to go on from. Raises NotFound VIDEO_NOT_FOUND, naming the ``param`` that holds its id if any does."""
    try:
        return await get_video(gateway.peers.generation, video_id, api_key_id=api_key.api_key_id)
    except NotFound as error:
        if param:
            error.violations = (FieldViolation(param, error.message),)
        raise
