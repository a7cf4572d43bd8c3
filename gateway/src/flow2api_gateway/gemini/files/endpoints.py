"""``/v1beta/files``: get, list, delete, download. Source: docs/upstream/google-official.md, section 9."""

from __future__ import annotations

from typing import Annotated, Any, Final

from fastapi import APIRouter, Query
from starlette.requests import Request
from starlette.responses import Response

from flow2api_common.errors import InvalidArgument
from flow2api_common.grpc_client import rpc_errors
from flow2api_gateway.edge.responses import json_response
from flow2api_gateway.errors.client_fields import client_fields
from flow2api_gateway.gateway import GatewayDep
from flow2api_gateway.gemini.documents import GOOGLE_ERRORS, google_file_bytes
from flow2api_gateway.gemini.files.grpc_to_files import google_file
from flow2api_gateway.gemini.files.lookup import find_file
from flow2api_gateway.gemini.keys import GoogleKeyDep
from flow2api_gateway.gemini.paging import read_page_size
from flow2api_gateway.media.serving import ServedFile, serve_stored
from flow2api_proto.generation.v1 import generation_service_pb2

router: Final = APIRouter(tags=["gemini"])
_LARGEST_PAGE: Final = 100


@router.get("/v1beta/files", summary="List files (Gemini)", responses=GOOGLE_ERRORS)
async def list_files(
    api_key: GoogleKeyDep,
    gateway: GatewayDep,
    page_size: Annotated[str, Query(alias="pageSize")] = "",
    page_token: Annotated[str, Query(alias="pageToken")] = "",
) -> Response:
    """The files of the key, uploaded and generated, newest first."""
    request = generation_service_pb2.ListMediaRequest(
        api_key_id=api_key.api_key_id,
        page_size=read_page_size(page_size, largest=_LARGEST_PAGE),
        page_token=page_token,
    )
    with client_fields({"page_token": "pageToken"}), rpc_errors("generation"):
        page = await gateway.peers.generation.ListMedia(request)
    files = [google_file(media, gateway.links, file_id=media.media_id) for media in page.media]
    answer: dict[str, Any] = {"files": files}
    if page.next_page_token:
        answer["nextPageToken"] = page.next_page_token
    return json_response(answer)


@router.get(
    "/v1beta/files/{name:path}:download",
    summary="Download a file (Gemini)",
    responses=google_file_bytes("The file."),
)
async def download_file(request: Request, name: str, api_key: GoogleKeyDep, gateway: GatewayDep) -> Response:
    """The bytes of a generated file, or one range of them; uploads cannot be downloaded."""
    file_id, media = await find_file(gateway, name, api_key_id=api_key.api_key_id)
    if not media.generated:
        raise InvalidArgument.of("name", f"File {file_id[:100]} cannot be downloaded: it was uploaded.")
    file = ServedFile(
        name=media.media_id, content_type=media.content_type, size_bytes=media.size_bytes, is_attachment=True
    )
    return await serve_stored(request, file, store=gateway.media_store, object_key=media.object_key)


@router.get("/v1beta/files/{name}", summary="Read a file (Gemini)", responses=GOOGLE_ERRORS)
async def get_file(name: str, api_key: GoogleKeyDep, gateway: GatewayDep) -> Response:
    """What a file is; its bytes are elsewhere."""
    file_id, media = await find_file(gateway, name, api_key_id=api_key.api_key_id)
    return json_response(google_file(media, gateway.links, file_id=file_id))


@router.delete("/v1beta/files/{name}", summary="Delete a file (Gemini)", responses=GOOGLE_ERRORS)
async def delete_file(name: str, api_key: GoogleKeyDep, gateway: GatewayDep) -> Response:
    """Removes the bytes too."""
    _, media = await find_file(gateway, name, api_key_id=api_key.api_key_id)
    request = generation_service_pb2.DeleteMediaRequest(media_id=media.media_id, api_key_id=api_key.api_key_id)
    with rpc_errors("generation"):
        await gateway.peers.generation.DeleteMedia(request)
    return json_response({})
