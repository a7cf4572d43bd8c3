"""``/media/{id}``: stored files behind signed links; whoever has the link needs no key."""

from __future__ import annotations

from contextlib import suppress
from typing import Annotated, Final

from fastapi import APIRouter, Query
from starlette.requests import Request
from starlette.responses import Response

from flow2api_common.errors import NotFound
from flow2api_common.grpc_client import rpc_errors
from flow2api_gateway.gateway import Gateway, GatewayDep
from flow2api_gateway.media.conversion import PictureFormat, parse_variant
from flow2api_gateway.media.links import MediaLink
from flow2api_gateway.media.serving import ServedFile, serve_bytes, serve_stored
from flow2api_gateway.openai.documents import answers_bytes
from flow2api_proto.generation.v1 import generation_service_pb2, media_pb2

router: Final = APIRouter(tags=["media"])
_CONTENT_TYPES: Final = ("image/png", "image/jpeg", "image/webp", "video/mp4")


@router.get("/media/{media_id}", summary="Open a result", responses=answers_bytes("The file.", *_CONTENT_TYPES))
async def open_media(
    request: Request,
    gateway: GatewayDep,
    media_id: str,
    exp: Annotated[str, Query()] = "",
    sig: Annotated[str, Query()] = "",
    variant: Annotated[str, Query(alias="as")] = "",
) -> Response:
    """The file, or one range of it. A link that was changed or has expired is refused with 403."""
    gateway.links.check(MediaLink(media_id=media_id, expires=exp, variant=variant, signature=sig))
    wanted = parse_variant(variant)
    if wanted is not None:
        return await _open_converted(request, gateway, media_id, wanted)
    with rpc_errors("generation"):
        answer = await gateway.peers.generation.GetMedia(generation_service_pb2.GetMediaRequest(media_id=media_id))
    media = answer.media
    file = ServedFile(name=media_id, content_type=media.content_type, size_bytes=media.size_bytes)
    return await serve_stored(request, file, store=gateway.media_store, object_key=media.object_key)


async def _open_converted(request: Request, gateway: Gateway, media_id: str, wanted: PictureFormat) -> Response:
    media, kept = await gateway.converted.find(media_id, wanted)
    if not media.content_type.startswith("image/"):
        raise NotFound("There is no such file.", reason="MEDIA_NOT_FOUND")
    name = f"{media_id}-{wanted.variant}"
    if kept is not None:
        # It may go between the look and the reading: then it is made again.
        with suppress(NotFound):
            return await _serve_kept(request, gateway, name, kept)
    made = await gateway.converted.make(media_id, wanted)
    if isinstance(made, bytes):
        return serve_bytes(request, ServedFile(name, wanted.content_type, len(made)), made)
    return await _serve_kept(request, gateway, name, made)


async def _serve_kept(request: Request, gateway: Gateway, name: str, kept: media_pb2.Media) -> Response:
    file = ServedFile(name=name, content_type=kept.content_type, size_bytes=kept.size_bytes)
    return await serve_stored(request, file, store=gateway.media_store, object_key=kept.object_key)
