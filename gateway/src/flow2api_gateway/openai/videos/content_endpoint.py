"""``GET /v1/videos/{id}/content``: the clip, or a picture that was made of it."""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import APIRouter, Query
from starlette.requests import Request
from starlette.responses import Response

from flow2api_common.errors import FailedPrecondition, InvalidArgument, NotFound
from flow2api_gateway.auth.dependencies import ApiKeyDep
from flow2api_gateway.gateway import GatewayDep
from flow2api_gateway.generation.videos import get_video
from flow2api_gateway.media.serving import ServedFile, serve_stored
from flow2api_gateway.openai.documents import answers_bytes
from flow2api_gateway.openai.videos.grpc_to_videos import video_status
from flow2api_proto.generation.v1 import media_pb2, video_pb2

router: Final = APIRouter(tags=["videos"])


@router.get(
    "/v1/videos/{video_id}/content",
    summary="Download a video",
    responses=answers_bytes("The file.", "video/mp4", "image/webp", "image/png", "image/jpeg"),
)
async def content(
    request: Request,
    video_id: str,
    api_key: ApiKeyDep,
    gateway: GatewayDep,
    variant: Annotated[str, Query()] = "video",
) -> Response:
    """The bytes, or one range of them."""
    if variant not in ("video", "thumbnail", "spritesheet"):
        raise InvalidArgument.of("variant", "'variant' must be 'video', 'thumbnail' or 'spritesheet'.")
    video = await get_video(gateway.peers.generation, video_id, api_key_id=api_key.api_key_id)
    media = _stored(video, variant)
    file = ServedFile(
        name=media.media_id, content_type=media.content_type, size_bytes=media.size_bytes, is_attachment=True
    )
    return await serve_stored(request, file, store=gateway.media_store, object_key=media.object_key)


def _stored(video: video_pb2.Video, variant: str) -> media_pb2.Media:
    """The file of a variant. An error that the SDK would not repeat: 409 is one that it repeats."""
    status = video_status(video)
    if status == "failed":
        raise NotFound("The video failed: it has no content.", reason="VIDEO_NOT_FOUND")
    if status != "completed":
        raise FailedPrecondition("The video is not ready yet.", reason="VIDEO_NOT_READY")
    if not video.media.media_id:
        raise NotFound("The file of this video has expired.", reason="VIDEO_EXPIRED")
    media = {"video": video.media, "thumbnail": video.thumbnail, "spritesheet": video.spritesheet}[variant]
    if not media.media_id:
        raise NotFound(f"No {variant} could be made of this video.", reason="MEDIA_NOT_FOUND")
    return media
