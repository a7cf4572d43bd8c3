"""``/v1/videos``: create, read, list, delete, cancel."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query
from starlette.requests import Request
from starlette.responses import Response

from flow2api_common.errors import InvalidArgument
from flow2api_common.grpc_client import rpc_errors
from flow2api_gateway.auth.dependencies import ApiKeyDep
from flow2api_gateway.auth.models import usable_model
from flow2api_gateway.edge.forms import read_json_or_form
from flow2api_gateway.edge.responses import json_response
from flow2api_gateway.errors.client_fields import client_fields
from flow2api_gateway.gateway import Gateway, GatewayDep
from flow2api_gateway.generation.pictures import input_images
from flow2api_gateway.generation.videos import accept_video, get_video
from flow2api_gateway.openai import examples
from flow2api_gateway.openai.documents import answers, takes_json_or_form
from flow2api_gateway.openai.requests import idempotency_key, idempotency_scope, link_to
from flow2api_gateway.openai.videos.grpc_to_videos import video_list, video_object
from flow2api_gateway.openai.videos.list_filters import states_of, time_of, words_of
from flow2api_gateway.openai.videos.schemas import CREATE_PICTURES, VideoCreateRequest
from flow2api_gateway.openai.videos.videos_to_grpc import (
    CREATE_FIELDS,
    check_video_values,
    reference_sources,
    referred_video,
    video_request,
)
from flow2api_proto.generation.v1 import video_pb2

router: Final = APIRouter(tags=["videos"])
_VIDEO: Final = answers(examples.VIDEO)

# The SDK's poll helper waits this long between two looks; without it, one second for good.
_POLL_HEADERS: Final = {"openai-poll-after-ms": "2000"}
_MAX_PAGE: Final = 100
_CHARGES: Final = {
    video_pb2.VIDEO_CHARGE_NONE: "none",
    video_pb2.VIDEO_CHARGE_CHARGED: "charged",
    video_pb2.VIDEO_CHARGE_UNKNOWN: "unknown",
}
_ORDERS: Final = {"desc": video_pb2.VIDEO_ORDER_UNSPECIFIED, "asc": video_pb2.VIDEO_ORDER_OLDEST_FIRST}


@router.post(
    "/v1/videos",
    summary="Make a video",
    openapi_extra=takes_json_or_form(VideoCreateRequest, examples.VIDEO_REQUEST),
    responses=_VIDEO,
)
async def create(request: Request, api_key: ApiKeyDep, gateway: GatewayDep) -> Response:
    """Accepts a job and answers it as ``queued``; it is durable then."""
    body = await read_json_or_form(
        request, VideoCreateRequest, gateway.settings.max_body_bytes, pictures=CREATE_PICTURES
    )
    model = await usable_model(gateway.catalog, api_key, body.model)
    source_video_id = referred_video(body)
    sources = [] if source_video_id else reference_sources(body)
    check_video_values(body, model, picture_count=len(sources))
    request_id = idempotency_key(request)
    with client_fields(CREATE_FIELDS):
        pictures = await input_images(gateway, sources, api_key_id=api_key.api_key_id)
        job = video_request(body, model, pictures, api_key_id=api_key.api_key_id, request_id=request_id)
        job.source_video_id = source_video_id
        job.request_scope = idempotency_scope(request)
        accepted = await accept_video(gateway.peers.generation, job)
    return video_answer(gateway, accepted.video, webhook_secret=accepted.webhook_secret)


@router.get("/v1/videos", summary="List videos", responses=answers(examples.VIDEO_LIST))
async def list_all(
    api_key: ApiKeyDep,
    gateway: GatewayDep,
    after: Annotated[str, Query()] = "",
    limit: Annotated[str, Query()] = "20",
    order: Annotated[str, Query()] = "desc",
    status: Annotated[str, Query()] = "",
    model: Annotated[str, Query()] = "",
    created_after: Annotated[str, Query()] = "",
    created_before: Annotated[str, Query()] = "",
) -> Response:
    """The videos of this key, a page at a time: the next begins ``after`` the last id of this one.

    ``status`` and ``model`` may name several, separated by commas; the times are Unix seconds.
    """
    if not (limit.isascii() and limit.isdigit() and 1 <= int(limit[:9]) <= _MAX_PAGE):
        raise InvalidArgument.of("limit", f"'limit' must be between 1 and {_MAX_PAGE}.")
    if order not in _ORDERS:
        raise InvalidArgument.of("order", "'order' must be 'asc' or 'desc'.")
    listing = video_pb2.ListVideosRequest(
        page_size=int(limit),
        after_video_id=after,
        api_key_id=api_key.api_key_id,
        order=_ORDERS[order],
        states=states_of(status),
        model_ids=words_of(model),
        create_time_from=time_of(created_after, param="created_after"),
        create_time_before=time_of(created_before, param="created_before"),
    )
    with client_fields({"after_video_id": "after"}), rpc_errors("generation"):
        page = await gateway.peers.generation.ListVideos(listing)
    has_more = bool(page.next_page_token)
    return json_response(video_list(page.videos, partial(link_to, gateway), has_more=has_more))


@router.get("/v1/videos/{video_id}", summary="Read a video", responses=_VIDEO)
async def read(video_id: str, api_key: ApiKeyDep, gateway: GatewayDep) -> Response:
    """Where it stands."""
    return video_answer(gateway, await get_video(gateway.peers.generation, video_id, api_key_id=api_key.api_key_id))


@router.delete("/v1/videos/{video_id}", summary="Delete a video", responses=answers(examples.DELETED_VIDEO))
async def delete(video_id: str, api_key: ApiKeyDep, gateway: GatewayDep) -> Response:
    """Removes it and its files; a running one is cancelled."""
    with rpc_errors("generation"):
        await gateway.peers.generation.DeleteVideo(
            video_pb2.DeleteVideoRequest(video_id=video_id, api_key_id=api_key.api_key_id)
        )
    return json_response({"id": video_id, "object": "video.deleted", "deleted": True})


@router.post("/v1/videos/{video_id}/cancel", summary="Cancel a video", responses=_VIDEO)
async def cancel(video_id: str, api_key: ApiKeyDep, gateway: GatewayDep) -> Response:
    """Stops it. ``charge`` is ``none`` before it was submitted, ``charged`` after, ``unknown`` in between."""
    with rpc_errors("generation"):
        answer = await gateway.peers.generation.CancelVideo(
            video_pb2.CancelVideoRequest(video_id=video_id, api_key_id=api_key.api_key_id)
        )
    charged = answer.charged_credits if answer.HasField("charged_credits") else None
    return video_answer(gateway, answer.video, charge=_CHARGES.get(answer.charge), charged_credits=charged)


def video_answer(gateway: Gateway, video: video_pb2.Video, **extra: Any) -> Response:
    """The Video object, with what ``extra`` has to add."""
    document = video_object(video, partial(link_to, gateway)) | {
        name: value for name, value in extra.items() if value not in (None, "")
    }
    return json_response(document, headers=_POLL_HEADERS)
