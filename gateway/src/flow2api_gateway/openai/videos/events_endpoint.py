"""``GET /v1/videos/{id}/events``: a video as it changes, as server-sent events that can be taken up again."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, Final

from fastapi import APIRouter, Header
from starlette.responses import Response

from flow2api_common.errors import UpstreamTimeout
from flow2api_gateway.auth.dependencies import ApiKeyDep
from flow2api_gateway.edge.event_stream import EventStream, data_event
from flow2api_gateway.edge.peeking import peeked
from flow2api_gateway.gateway import Gateway, GatewayDep
from flow2api_gateway.generation.videos import FINAL_STATES, follow_video, get_video
from flow2api_gateway.openai.documents import ERRORS
from flow2api_gateway.openai.requests import error_event, link_to
from flow2api_gateway.openai.videos.grpc_to_videos import video_object
from flow2api_proto.generation.v1 import video_pb2

router: Final = APIRouter(tags=["videos"])
_ANSWERS: Final[dict[int | str, dict[str, Any]]] = {
    200: {
        "description": "The Video object, now and after each change.",
        "content": {"text/event-stream": {"schema": {"type": "string"}}},
    },
    204: {"description": "There is nothing new and there will be nothing."},
    **ERRORS,
}

_EVENT_ID: Final = re.compile(r"(?P<version>[0-9]{1,18})-(?P<progress>[0-9]{1,3})(?P<final>-final)?", re.ASCII)
_NO_CONTENT: Final = 204


@dataclass(frozen=True, slots=True)
class _Seen:
    """What a client has seen, as the id of the event says: the version, the progress, and whether it was the end."""

    version: int = 0
    progress_percent: int = 0
    is_final: bool = False


@router.get("/v1/videos/{video_id}/events", summary="Follow a video", responses=_ANSWERS)
async def follow(
    video_id: str,
    api_key: ApiKeyDep,
    gateway: GatewayDep,
    last_event_id: Annotated[str, Header()] = "",
) -> Response:
    """The Video object now and after each change as server-sent events, until it is final.

    Who reconnects with ``Last-Event-ID`` hears only what is new, and progress does not go back. After the final event
    there is nothing new: 204, which tells a browser's EventSource to stop.
    """
    seen = _seen(last_event_id)
    if seen.version:
        video = await get_video(gateway.peers.generation, video_id, api_key_id=api_key.api_key_id)
        if seen.is_final and video.state in FINAL_STATES and video.version <= seen.version:
            return Response(status_code=_NO_CONTENT)
    versions: AsyncIterator[video_pb2.Video] = follow_video(
        gateway.peers.generation,
        video_id,
        api_key_id=api_key.api_key_id,
        timeout=gateway.settings.video_answer_timeout,
        after_version=seen.version,
        after_progress_percent=seen.progress_percent,
    )
    if not seen.version:
        # So that an error has its status. Who has seen something may wait long for something new: the answer begins.
        versions = await peeked(versions, gateway.settings.heartbeat_interval)
    return EventStream(
        _video_events(gateway, versions),
        drain=gateway.drain,
        heartbeat=gateway.settings.heartbeat_interval,
        render_error=partial(error_event, event="error"),
        can_be_resumed=True,
    )


async def _video_events(gateway: Gateway, versions: AsyncIterator[video_pb2.Video]) -> AsyncIterator[bytes]:
    try:
        async for video in versions:
            document = video_object(video, partial(link_to, gateway))
            yield data_event(document, event=f"video.{document['status']}", event_id=_event_id(video))
    except UpstreamTimeout:
        # The longest answer is over, the job is not: the client reconnects with the last id.
        return


def _event_id(video: video_pb2.Video) -> str:
    return f"{video.version}-{video.progress_percent}{'-final' if video.state in FINAL_STATES else ''}"


def _seen(last_event_id: str) -> _Seen:
    """Nothing, when the id is none of ours: the client then hears everything."""
    found = _EVENT_ID.fullmatch(last_event_id.strip())
    if found is None:
        return _Seen()
    return _Seen(int(found["version"]), min(int(found["progress"]), 100), found["final"] is not None)
