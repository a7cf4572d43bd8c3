"""``/admin/stats``, ``/admin/jobs``, ``/admin/logs``: what is going on."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query
from starlette.responses import Response

from flow2api_common.errors import InvalidArgument
from flow2api_common.grpc_client import rpc_errors
from flow2api_gateway.admin.job_json import IMAGE_JOB_STATUSES, VIDEO_STATES, image_job_json, job_json
from flow2api_gateway.admin.pages import page_headers, page_limit
from flow2api_gateway.admin.times import iso_time
from flow2api_gateway.auth.dependencies import AdminDep
from flow2api_gateway.edge.responses import json_response
from flow2api_gateway.errors.client_fields import client_fields
from flow2api_gateway.gateway import Gateway, GatewayDep
from flow2api_gateway.openai.documents import ERRORS
from flow2api_proto.generation.v1 import generation_service_pb2, image_job_pb2, video_pb2
from flow2api_proto.tokens.v1 import token_service_pb2

router: Final = APIRouter(tags=["administration"])


@router.get("/admin/stats", summary="Numbers of the whole system", responses=ERRORS)
async def stats(_admin: AdminDep, gateway: GatewayDep) -> Response:
    """The original's numbers, and those of the pool and the queue."""
    pool, generation = await asyncio.gather(_pool_stats(gateway), _generation_stats(gateway))
    counts = pool.stats
    return json_response(
        {
            "total_tokens": pool.token_count,
            "active_tokens": pool.token_count_by_state.get("active", 0),
            "total_images": counts.image_count,
            "total_videos": counts.video_count,
            "total_errors": counts.error_count,
            "today_images": counts.today_image_count,
            "today_videos": counts.today_video_count,
            "today_errors": counts.today_error_count,
            "total_credits": pool.credits,
            "tokens_by_state": dict(pool.token_count_by_state),
            "images_in_flight": pool.image_leases,
            "videos_in_flight": pool.video_leases,
            "videos_by_state": dict(generation.video_count_by_state),
            "image_requests": generation.image_count,
            "image_request_errors": generation.image_error_count,
        }
    )


@router.get("/admin/jobs", summary="List jobs", responses=ERRORS)
async def jobs(
    _admin: AdminDep,
    gateway: GatewayDep,
    limit: Annotated[str, Query()] = "20",
    after: Annotated[str, Query()] = "",
    state: Annotated[str, Query()] = "",
    page_token: Annotated[str, Query()] = "",
    kind: Annotated[str, Query(description="`video`, or `image` for image jobs.")] = "video",
) -> Response:
    """Jobs of one kind and of all keys, newest first; the header ``x-next-page-token`` names the next page."""
    if kind == "image":
        return await _image_jobs(gateway, limit=limit, after=after, state=state, page_token=page_token)
    if kind != "video":
        raise InvalidArgument.of("kind", "'kind' must be 'video' or 'image'.")
    if state and state not in VIDEO_STATES:
        raise InvalidArgument.of("state", f"Unknown state. Known are: {', '.join(sorted(VIDEO_STATES))}.")
    listing = video_pb2.ListVideosRequest(
        page_size=page_limit(limit, 100),
        after_video_id=after,
        page_token=page_token,
        states=[VIDEO_STATES[state]] if state else [],
    )
    with rpc_errors("generation"):
        page = await gateway.peers.generation.ListVideos(listing)
    documents = [job_json(gateway, video) for video in page.videos]
    return json_response(documents, headers=page_headers(page.next_page_token))


async def _image_jobs(gateway: Gateway, *, limit: str, after: str, state: str, page_token: str) -> Response:
    if state and state not in IMAGE_JOB_STATUSES:
        raise InvalidArgument.of("state", f"Unknown state. Known are: {', '.join(sorted(IMAGE_JOB_STATUSES))}.")
    listing = image_job_pb2.ListImageJobsRequest(
        page_size=page_limit(limit, 100),
        after_generation_id=after,
        page_token=page_token,
        states=[IMAGE_JOB_STATUSES[state]] if state else [],
    )
    with client_fields({"after_generation_id": "after"}), rpc_errors("generation"):
        page = await gateway.peers.generation.ListImageJobs(listing)
    documents = [image_job_json(job) for job in page.jobs]
    return json_response(documents, headers=page_headers(page.next_page_token))


@router.get("/admin/logs", summary="List generations", responses=ERRORS)
async def logs(
    _admin: AdminDep,
    gateway: GatewayDep,
    limit: Annotated[str, Query()] = "100",
    page_token: Annotated[str, Query()] = "",
) -> Response:
    """The request log, newest first; the header ``x-next-page-token`` names the next page."""
    listing = generation_service_pb2.ListRequestLogsRequest(page_size=page_limit(limit, 1000), page_token=page_token)
    with rpc_errors("generation"):
        page = await gateway.peers.generation.ListRequestLogs(listing)
    documents = [_log_json(entry) for entry in page.request_logs]
    return json_response(documents, headers=page_headers(page.next_page_token))


async def _pool_stats(gateway: Gateway) -> token_service_pb2.GetPoolStatsResponse:
    with rpc_errors("token"):
        return await gateway.peers.tokens.GetPoolStats(token_service_pb2.GetPoolStatsRequest())


async def _generation_stats(gateway: Gateway) -> generation_service_pb2.GetGenerationStatsResponse:
    with rpc_errors("generation"):
        return await gateway.peers.generation.GetGenerationStats(generation_service_pb2.GetGenerationStatsRequest())


def _log_json(entry: generation_service_pb2.RequestLog) -> dict[str, Any]:
    return {
        "id": entry.generation_id,
        "operation": entry.operation,
        "model": entry.model_id,
        "api_key_id": entry.api_key_id,
        "token_id": entry.token_id or None,
        "outcome": entry.outcome,
        "duration": entry.duration_ms / 1000,
        "duration_ms": entry.duration_ms,
        "created_at": iso_time(entry, "create_time"),
    }
