"""``POST /upload/v1beta/files``: resumable uploads. Source: docs/upstream/google-official.md, section 9."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query
from starlette.requests import Request
from starlette.responses import Response

from flow2api_common.errors import InvalidArgument
from flow2api_common.ids import new_id
from flow2api_gateway.edge.bodies import limited_stream, read_json, too_large
from flow2api_gateway.edge.responses import json_response
from flow2api_gateway.errors.client_fields import client_fields
from flow2api_gateway.gateway import Gateway, GatewayDep
from flow2api_gateway.gemini.content.schemas import ProtoJson
from flow2api_gateway.gemini.documents import GOOGLE_ERRORS
from flow2api_gateway.gemini.files.grpc_to_files import google_file
from flow2api_gateway.gemini.files.parts import wrong_offset
from flow2api_gateway.gemini.files.tickets import UploadTicket
from flow2api_gateway.gemini.keys import google_key_of
from flow2api_gateway.generation.pictures import check_picture, upload_picture

router: Final = APIRouter(tags=["gemini"])
_STATUS: Final = "x-goog-upload-status"
_LONGEST_NAME: Final = 200


class FileMetadata(ProtoJson):
    """What is said about a file before its bytes."""

    display_name: str | None = None
    mime_type: str | None = None


class StartUpload(ProtoJson):
    """Body of the first request."""

    file: FileMetadata | None = None


@router.post("/upload/v1beta/files", summary="Upload a picture (Gemini)", responses=GOOGLE_ERRORS)
async def upload_file(request: Request, gateway: GatewayDep, upload_id: Annotated[str, Query()] = "") -> Response:
    """The first request answers, in ``x-goog-upload-url``, the address that the bytes go to; it needs no key."""
    if upload_id:
        return await _receive(request, gateway, gateway.upload_tickets.read(upload_id))
    api_key = await google_key_of(request)
    command = request.headers.get("x-goog-upload-command", "").strip()
    if request.headers.get("x-goog-upload-protocol") != "resumable" or command != "start":
        raise InvalidArgument.of(
            "X-Goog-Upload-Command", "Only resumable uploads are supported; the first command is 'start'."
        )
    body = await read_json(request, StartUpload, gateway.settings.max_body_bytes)
    metadata = body.file or FileMetadata()
    mime_type = request.headers.get("x-goog-upload-header-content-type") or metadata.mime_type or ""
    if not mime_type.lower().startswith("image/"):
        raise InvalidArgument.of("file.mimeType", "Only pictures can be uploaded.", reason="INVALID_IMAGE")
    size = _number(request, "x-goog-upload-header-content-length", missing=-1)
    if size > gateway.settings.max_image_bytes:
        raise too_large(gateway.settings.max_image_bytes)
    ticket = gateway.upload_tickets.write(
        upload_id=new_id(),
        api_key_id=api_key.api_key_id,
        display_name=(metadata.display_name or "")[:_LONGEST_NAME],
        size_bytes=size,
    )
    url = f"{gateway.links.base_url}/upload/v1beta/files?upload_id={ticket}&upload_protocol=resumable"
    return json_response({}, headers={"x-goog-upload-url": url, _STATUS: "active"})


async def _receive(request: Request, gateway: Gateway, ticket: UploadTicket) -> Response:
    commands = {word.strip() for word in request.headers.get("x-goog-upload-command", "").split(",")}
    if not commands & {"upload", "finalize"}:
        raise InvalidArgument.of("X-Goog-Upload-Command", "Supported are 'upload' and 'upload, finalize'.")
    offset = _number(request, "x-goog-upload-offset", missing=0)
    limit = gateway.settings.max_image_bytes - offset
    if limit < 0:
        raise too_large(gateway.settings.max_image_bytes)
    piece = b"".join([chunk async for chunk in limited_stream(request, limit)])
    if "finalize" not in commands:
        if not piece:
            raise wrong_offset()
        await gateway.upload_parts.put(ticket.upload_id, offset, piece)
        return json_response({}, headers={_STATUS: "active"})
    content = await gateway.upload_parts.join(ticket.upload_id, offset, piece)
    try:
        document = await _stored(gateway, ticket, content)
    finally:
        await gateway.upload_parts.forget(ticket.upload_id, offset)
    return json_response(document, headers={_STATUS: "final"})


async def _stored(gateway: Gateway, ticket: UploadTicket, content: bytes) -> dict[str, Any]:
    if ticket.size_bytes not in (-1, len(content)):
        raise InvalidArgument.of("file.sizeBytes", "The upload has another size than announced.")
    settings = gateway.settings
    await asyncio.to_thread(
        check_picture, content, max_bytes=settings.max_image_bytes, max_pixels=settings.max_image_pixels, param="file"
    )
    with client_fields({"input_images": "file"}):
        media = await upload_picture(
            gateway, content, api_key_id=ticket.api_key_id, file_name=ticket.display_name or "upload"
        )
    return {"file": google_file(media, gateway.links, file_id=media.media_id)}


def _number(request: Request, header: str, *, missing: int) -> int:
    text = request.headers.get(header, "").strip()
    if not text:
        return missing
    if not (text.isascii() and text.isdigit() and len(text) <= 15):
        raise InvalidArgument.of(header, f"'{header}' must be a number.")
    return int(text)
