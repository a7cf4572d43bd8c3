"""``predictLongRunning`` and operations, of the Gemini API and of Vertex."""

from __future__ import annotations

import asyncio
from contextlib import nullcontext
from functools import partial
from typing import Final

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from flow2api_common.errors import InvalidArgument
from flow2api_common.grpc_client import rpc_errors
from flow2api_gateway.auth.models import usable_model
from flow2api_gateway.edge.bodies import read_json
from flow2api_gateway.edge.responses import json_response
from flow2api_gateway.errors.client_fields import client_fields
from flow2api_gateway.gateway import GatewayDep
from flow2api_gateway.gemini.dialect import EXPRESS_MODELS, VERTEX_MODELS, speaks_vertex
from flow2api_gateway.gemini.documents import GOOGLE_ERRORS
from flow2api_gateway.gemini.keys import GoogleKeyDep
from flow2api_gateway.gemini.models_endpoints import check_makes
from flow2api_gateway.gemini.videos.grpc_to_operations import operation, operation_name
from flow2api_gateway.gemini.videos.grpc_to_vertex_operations import vertex_operation
from flow2api_gateway.gemini.videos.predict_to_grpc import (
    PREDICT_FIELDS,
    clip_digest,
    clip_request,
    clip_sources,
    the_instance,
)
from flow2api_gateway.gemini.videos.schemas import (
    PREDICT_PICTURES,
    FetchPredictOperationRequest,
    PredictLongRunningRequest,
)
from flow2api_gateway.generation.pictures import input_images
from flow2api_gateway.generation.videos import create_video, get_video
from flow2api_gateway.openai.documents import takes_json
from flow2api_gateway.openai.requests import idempotency_key, idempotency_scope
from flow2api_proto.generation.v1 import model_pb2, video_pb2

router: Final = APIRouter(tags=["gemini"])


@router.post(f"{EXPRESS_MODELS}/{{model_id:path}}:predictLongRunning", include_in_schema=False)
@router.post(
    f"{VERTEX_MODELS}/{{model_id:path}}:predictLongRunning",
    summary="Make a video (Vertex)",
    openapi_extra=takes_json(PredictLongRunningRequest),
    responses=GOOGLE_ERRORS,
)
@router.post(
    "/v1beta/models/{model_id:path}:predictLongRunning",
    summary="Make a video (Gemini)",
    openapi_extra=takes_json(PredictLongRunningRequest),
    responses=GOOGLE_ERRORS,
)
async def predict_long_running(request: Request, model_id: str, api_key: GoogleKeyDep, gateway: GatewayDep) -> Response:
    """Accepts a job and answers the name of its operation; it is durable then."""
    body = await read_json(
        request, PredictLongRunningRequest, gateway.settings.max_body_bytes, pictures=PREDICT_PICTURES
    )
    model = await usable_model(gateway.catalog, api_key, model_id)
    check_makes(model, model_pb2.MODALITY_VIDEO, method="predictLongRunning")
    sources = await asyncio.to_thread(clip_sources, the_instance(body))
    async with gateway.large_picture_turns if the_instance(body).video else nullcontext():
        source_sha256 = await asyncio.to_thread(clip_digest, the_instance(body))
    with client_fields(PREDICT_FIELDS):
        key_id, request_id = api_key.api_key_id, idempotency_key(request)
        asked = partial(
            clip_request,
            body,
            model,
            picture_count=len(sources),
            source_sha256=source_sha256,
            api_key_id=key_id,
            request_id=request_id,
        )
        asked(())
        job = asked(await input_images(gateway, sources, api_key_id=key_id))
        job.request_scope = idempotency_scope(request)
        video = await create_video(gateway.peers.generation, job)
    if speaks_vertex(request.url.path):
        return json_response({"name": f"{_resource(request)}/operations/{video.video_id}"})
    return json_response({"name": operation_name(video)})


@router.post(f"{EXPRESS_MODELS}/{{model_id:path}}:fetchPredictOperation", include_in_schema=False)
@router.post(
    f"{VERTEX_MODELS}/{{model_id:path}}:fetchPredictOperation",
    summary="Read an operation (Vertex)",
    openapi_extra=takes_json(FetchPredictOperationRequest),
    responses=GOOGLE_ERRORS,
)
async def fetch_predict_operation(
    request: Request, model_id: str, api_key: GoogleKeyDep, gateway: GatewayDep
) -> Response:
    """How far the job is, with the clip inside when it is done. The path is the name up to its operation."""
    del model_id
    body = await read_json(request, FetchPredictOperationRequest, gateway.settings.max_body_bytes)
    resource, _, video_id = body.operation_name.partition("/operations/")
    if resource != _resource(request):
        raise InvalidArgument.of(
            "operationName", f"The operation {body.operation_name[:200]} does not belong to {_resource(request)[:200]}."
        )
    video = await get_video(gateway.peers.generation, video_id, api_key_id=api_key.api_key_id)
    return await vertex_operation(video, body.operation_name, gateway.media_store)


@router.get(
    "/v1beta/models/{model_id:path}/operations/{operation_id}", summary="Read an operation", responses=GOOGLE_ERRORS
)
async def get_operation(model_id: str, operation_id: str, api_key: GoogleKeyDep, gateway: GatewayDep) -> Response:
    """How far the job is, with the clip when it is done."""
    del model_id
    return await get_bare_operation(operation_id, api_key, gateway)


@router.get("/v1beta/operations/{operation_id}", summary="Read an operation", responses=GOOGLE_ERRORS)
async def get_bare_operation(operation_id: str, api_key: GoogleKeyDep, gateway: GatewayDep) -> Response:
    """The same by a name without its model."""
    video = await get_video(gateway.peers.generation, operation_id, api_key_id=api_key.api_key_id)
    return json_response(operation(video, gateway.links))


@router.post(
    "/v1beta/models/{model_id:path}/operations/{operation_id}:cancel",
    summary="Cancel an operation",
    responses=GOOGLE_ERRORS,
)
async def cancel_operation(model_id: str, operation_id: str, api_key: GoogleKeyDep, gateway: GatewayDep) -> Response:
    """Stops the job."""
    del model_id
    with rpc_errors("generation"):
        await gateway.peers.generation.CancelVideo(
            video_pb2.CancelVideoRequest(video_id=operation_id, api_key_id=api_key.api_key_id)
        )
    return json_response({})


def _resource(request: Request) -> str:
    """The path of a method of Vertex without its version and the method: what names of its operations begin with."""
    return request.url.path.split("/", 2)[-1].rpartition(":")[0]
