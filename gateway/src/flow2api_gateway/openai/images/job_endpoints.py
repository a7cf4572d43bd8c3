"""``/v1/images/generations`` as the place of image jobs: read, list, follow, cancel, delete. Extensions of ours.

Jobs of edits are here too: there is one collection, as there is one kind of job.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from functools import partial
from typing import Annotated, Any, Final

from fastapi import APIRouter, Header, Query
from starlette.responses import Response

from flow2api_common.errors import InvalidArgument, UpstreamTimeout
from flow2api_common.grpc_client import rpc_errors
from flow2api_gateway.auth.dependencies import ApiKeyDep
from flow2api_gateway.edge.event_stream import EventStream, data_event
from flow2api_gateway.edge.peeking import peeked
from flow2api_gateway.edge.responses import json_response
from flow2api_gateway.errors.client_fields import client_fields
from flow2api_gateway.gateway import Gateway, GatewayDep
from flow2api_gateway.generation.image_jobs import FINAL_STATES, follow_image_job, get_image_job
from flow2api_gateway.openai import examples
from flow2api_gateway.openai.documents import ERRORS, answers
from flow2api_gateway.openai.images.grpc_to_image_jobs import STATUSES, image_job_object, whole_image_job
from flow2api_gateway.openai.images.job_answers import job_answer
from flow2api_gateway.openai.requests import error_event
from flow2api_proto.generation.v1 import image_job_pb2

router: Final = APIRouter(tags=["images"])
_JOB: Final = answers(examples.ENDED_IMAGE_JOB, required=tuple(examples.IMAGE_JOB))
_EVENTS: Final[dict[int | str, dict[str, Any]]] = {
    200: {
        "description": "The job, now and after each change.",
        "content": {"text/event-stream": {"schema": {"type": "string"}}},
    },
    204: {"description": "There is nothing new and there will be nothing."},
    **ERRORS,
}
_MAX_PAGE: Final = 100
_MOST_WORDS: Final = 20
_NO_CONTENT: Final = 204
_CHARGES: Final = {
    image_job_pb2.IMAGE_JOB_CHARGE_NONE: "none",
    image_job_pb2.IMAGE_JOB_CHARGE_CHARGED: "charged",
}
_EVENT_ID: Final = re.compile(r"(?P<version>[0-9]{1,18})-(?P<progress>[0-9]{1,3})(?P<final>-final)?", re.ASCII)


@router.get("/v1/images/generations", summary="List image jobs", responses=answers(examples.IMAGE_JOB_LIST))
async def list_all(
    api_key: ApiKeyDep,
    gateway: GatewayDep,
    after: Annotated[str, Query()] = "",
    limit: Annotated[str, Query()] = "20",
    order: Annotated[str, Query()] = "desc",
    status: Annotated[str, Query()] = "",
) -> Response:
    """The jobs of this key, without their pictures, a page at a time: the next begins ``after`` the last id of this
    one. ``status`` may name several, separated by commas."""
    if not (limit.isascii() and limit.isdigit() and 1 <= int(limit[:9]) <= _MAX_PAGE):
        raise InvalidArgument.of("limit", f"'limit' must be between 1 and {_MAX_PAGE}.")
    if order not in ("asc", "desc"):
        raise InvalidArgument.of("order", "'order' must be 'asc' or 'desc'.")
    words = [word.strip() for word in status.split(",") if word.strip()][:_MOST_WORDS]
    if any(word not in STATUSES for word in words):
        raise InvalidArgument.of("status", f"'status' must be of {', '.join(STATUSES)}.")
    listing = image_job_pb2.ListImageJobsRequest(
        page_size=int(limit),
        after_generation_id=after,
        api_key_id=api_key.api_key_id,
        states=[STATUSES[word] for word in words],
        oldest_first=order == "asc",
    )
    with client_fields({"after_generation_id": "after"}), rpc_errors("generation"):
        page = await gateway.peers.generation.ListImageJobs(listing)
    return json_response(
        {
            "object": "list",
            "data": [image_job_object(job) for job in page.jobs],
            "first_id": page.jobs[0].generation_id if page.jobs else None,
            "last_id": page.jobs[-1].generation_id if page.jobs else None,
            "has_more": bool(page.next_page_token) and bool(page.jobs),
        }
    )


@router.get("/v1/images/generations/{job_id}", summary="Read an image job", responses=_JOB)
async def read(job_id: str, api_key: ApiKeyDep, gateway: GatewayDep) -> Response:
    """Where it stands; once it has ended, with the pictures as they would have been answered."""
    job = await get_image_job(gateway.peers.generation, job_id, api_key_id=api_key.api_key_id)
    return await job_answer(gateway, job)


@router.delete(
    "/v1/images/generations/{job_id}",
    summary="Delete an image job",
    responses=answers(examples.DELETED_IMAGE_JOB),
)
async def delete(job_id: str, api_key: ApiKeyDep, gateway: GatewayDep) -> Response:
    """Removes it and its pictures; a running one is cancelled."""
    request = image_job_pb2.DeleteImageJobRequest(generation_id=job_id, api_key_id=api_key.api_key_id)
    with rpc_errors("generation"):
        await gateway.peers.generation.DeleteImageJob(request)
    return json_response({"id": job_id, "object": "image.job.deleted", "deleted": True})


@router.post("/v1/images/generations/{job_id}/cancel", summary="Cancel an image job", responses=_JOB)
async def cancel(job_id: str, api_key: ApiKeyDep, gateway: GatewayDep) -> Response:
    """Stops it. ``charge`` is ``none`` before the upstream was asked, else ``charged``: pictures that it was asked for
    still come, and are kept with the job."""
    request = image_job_pb2.CancelImageJobRequest(generation_id=job_id, api_key_id=api_key.api_key_id)
    with rpc_errors("generation"):
        answer = await gateway.peers.generation.CancelImageJob(request)
    return await job_answer(gateway, answer.job, charge=_CHARGES.get(answer.charge))


@router.get("/v1/images/generations/{job_id}/events", summary="Follow an image job", responses=_EVENTS)
async def follow(
    job_id: str, api_key: ApiKeyDep, gateway: GatewayDep, last_event_id: Annotated[str, Header()] = ""
) -> Response:
    """The job now and after each change as server-sent events, until it has ended; the last holds the pictures.

    Who reconnects with ``Last-Event-ID`` hears only what is new. After the final event there is nothing new: 204, which
    tells a browser's EventSource to stop.
    """
    seen = _EVENT_ID.fullmatch(last_event_id.strip())
    if seen is not None:
        job = await get_image_job(gateway.peers.generation, job_id, api_key_id=api_key.api_key_id)
        if seen["final"] and job.state in FINAL_STATES and job.version <= int(seen["version"]):
            return Response(status_code=_NO_CONTENT)
    versions: AsyncIterator[image_job_pb2.ImageJob] = follow_image_job(
        gateway.peers.generation,
        job_id,
        api_key_id=api_key.api_key_id,
        timeout=gateway.settings.video_answer_timeout,
        after_version=int(seen["version"]) if seen else 0,
        after_progress_percent=min(int(seen["progress"]), 100) if seen else 0,
    )
    if seen is None:
        # So that an error has its status.
        versions = await peeked(versions, gateway.settings.heartbeat_interval)
    return EventStream(
        _job_events(gateway, versions),
        drain=gateway.drain,
        heartbeat=gateway.settings.heartbeat_interval,
        render_error=partial(error_event, event="error"),
        can_be_resumed=True,
    )


async def _job_events(gateway: Gateway, versions: AsyncIterator[image_job_pb2.ImageJob]) -> AsyncIterator[bytes]:
    try:
        async for job in versions:
            document = await whole_image_job(gateway, job)
            event_id = f"{job.version}-{job.progress_percent}{'-final' if job.state in FINAL_STATES else ''}"
            yield data_event(document, event=f"image.{document['status']}", event_id=event_id)
    except UpstreamTimeout:
        # The longest answer is over, the job is not: the client reconnects with the last id.
        return
