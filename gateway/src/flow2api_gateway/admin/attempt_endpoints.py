"""``/admin/jobs/{id}`` and ``/admin/logs/{id}/attempts``: where a generation was tried, and why it went on."""

from __future__ import annotations

import asyncio
from typing import Any, Final

from fastapi import APIRouter
from starlette.responses import Response

from flow2api_common.errors import NotFound
from flow2api_common.grpc_client import rpc_errors
from flow2api_gateway.admin.job_json import attempt_json, image_job_json, job_json
from flow2api_gateway.auth.dependencies import AdminDep
from flow2api_gateway.edge.responses import json_response
from flow2api_gateway.gateway import Gateway, GatewayDep
from flow2api_gateway.generation.image_jobs import get_image_job
from flow2api_gateway.generation.videos import get_video
from flow2api_gateway.openai.documents import ERRORS
from flow2api_proto.generation.v1 import attempt_pb2
from flow2api_proto.tokens.v1 import token_pb2, token_service_pb2

router: Final = APIRouter(tags=["administration"])
_IMAGE_JOB: Final = "image_"


@router.get("/admin/jobs/{job_id}", summary="Read a job with its attempts", responses=ERRORS)
async def job(job_id: str, _admin: AdminDep, gateway: GatewayDep) -> Response:
    """A job of any key, and each account that was asked for it, in order."""
    return json_response(await _document(gateway, job_id) | {"attempts": await _attempts(gateway, job_id)})


@router.get("/admin/logs/{generation_id}/attempts", summary="List the attempts of a generation", responses=ERRORS)
async def attempts_of(generation_id: str, _admin: AdminDep, gateway: GatewayDep) -> Response:
    """Each account that was asked, in order; nothing for an unknown id."""
    return json_response(await _attempts(gateway, generation_id))


async def _document(gateway: Gateway, job_id: str) -> dict[str, Any]:
    if job_id.startswith(_IMAGE_JOB):
        return image_job_json(await get_image_job(gateway.peers.generation, job_id, api_key_id=""))
    return job_json(gateway, await get_video(gateway.peers.generation, job_id, api_key_id=""))


async def _attempts(gateway: Gateway, generation_id: str) -> list[dict[str, Any]]:
    listing = attempt_pb2.ListAttemptsRequest(generation_id=generation_id)
    with rpc_errors("generation"):
        answer = await gateway.peers.generation.ListAttempts(listing)
    token_ids = sorted({attempt.token_id for attempt in answer.attempts})
    tokens = dict(zip(token_ids, await asyncio.gather(*(_token(gateway, each) for each in token_ids)), strict=True))
    return [attempt_json(attempt, tokens[attempt.token_id]) for attempt in answer.attempts]


async def _token(gateway: Gateway, token_id: int) -> token_pb2.Token | None:
    try:
        with rpc_errors("token"):
            answer = await gateway.peers.tokens.GetToken(token_service_pb2.GetTokenRequest(token_id=token_id))
    except NotFound:
        return None
    return answer.token
