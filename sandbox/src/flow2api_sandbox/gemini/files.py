"""The Files API: resumable upload, get, list, delete, download.

Source: docs/upstream/google-official.md, section 9.
"""

import base64
import hashlib
import secrets
from typing import Any

from starlette.responses import Response

from flow2api_sandbox.calls import Call, parse_body
from flow2api_sandbox.cdn import file_response
from flow2api_sandbox.clock import to_rfc3339
from flow2api_sandbox.credentials import Caller
from flow2api_sandbox.errors import ApiError
from flow2api_sandbox.faults import FaultKind
from flow2api_sandbox.gemini.access import identify_key
from flow2api_sandbox.gemini.requests import StartUpload
from flow2api_sandbox.gemini.store import GeminiFile, UploadSession
from flow2api_sandbox.media.recipes import StoredFile
from flow2api_sandbox.wire import json_response

FILE_LIFETIME_SECONDS = 48 * 3600
_PAGE_SIZE_AT_MOST = 100


async def start_upload(call: Call) -> Response:
    """Answer the address that the bytes go to, in ``x-goog-upload-url``."""
    caller = identify_key(call)
    headers = call.request.headers
    if headers.get("x-goog-upload-protocol") != "resumable" or headers.get("x-goog-upload-command") != "start":
        raise ApiError(400, "Only resumable uploads are supported; the first command is 'start'.")
    raw = await call.read_bytes()
    metadata = parse_body(raw, StartUpload).file if raw else StartUpload().file
    await call.begin(account=caller.name)
    mime_type = headers.get("x-goog-upload-header-content-type") or metadata.mime_type
    if not mime_type or (metadata.mime_type is not None and metadata.mime_type != mime_type):
        raise ApiError(400, "The MIME type of the file is missing or differs from the header.")
    size = headers.get("x-goog-upload-header-content-length")
    upload_id = secrets.token_urlsafe(24)
    call.world.gemini.uploads[upload_id] = UploadSession(
        owner=caller.owner,
        mime_type=mime_type,
        display_name=metadata.display_name,
        expected_size=int(size) if size and size.isdigit() else None,
    )
    url = f"{call.base_url}{call.request.url.path}?upload_id={upload_id}&upload_protocol=resumable"
    return json_response({}, headers={"x-goog-upload-url": url, "x-goog-upload-status": "active"})


async def receive_upload(call: Call) -> Response:
    """Take a piece; the piece with ``finalize`` makes the file. The address is the credential."""
    upload_id = call.request.query_params["upload_id"]
    session = call.world.gemini.uploads.get(upload_id)
    if session is None:
        raise ApiError(404, "Requested entity was not found.")
    await call.begin(account=session.owner)
    commands = {word.strip() for word in call.request.headers.get("x-goog-upload-command", "").split(",")}
    if call.request.headers.get("x-goog-upload-offset") != str(len(session.content)) or "upload" not in commands:
        raise ApiError(400, "The upload offset or command does not fit the state of the upload.")
    session.content += await call.read_bytes()
    if "finalize" not in commands:
        return json_response({}, headers={"x-goog-upload-status": "active"})
    if session.expected_size not in (None, len(session.content)):
        raise ApiError(400, "The upload has another size than announced.")
    del call.world.gemini.uploads[upload_id]
    file = _store_upload(call, session)
    return json_response({"file": file_json(call, file)}, headers={"x-goog-upload-status": "final"})


async def get_file(call: Call) -> Response:
    """One file of the key."""
    return json_response(file_json(call, await _require_file(call)))


async def list_files(call: Call) -> Response:
    """The key's uploads, in pages."""
    caller = identify_key(call)
    await call.begin(account=caller.name)
    files = [file for file in call.world.gemini.files.values() if find_file(call, caller, file.file_id) is file]
    return json_response(page_json(call, "files", [file_json(call, file) for file in files], _PAGE_SIZE_AT_MOST))


async def delete_file(call: Call) -> Response:
    """The file goes."""
    file = await _require_file(call)
    del call.world.gemini.files[file.file_id]
    return json_response({})


async def download_file(call: Call) -> Response:
    """The bytes of a generated file; uploads cannot be fetched."""
    file = await _require_file(call)
    if file.source != "GENERATED" or call.request.query_params.get("alt") != "media":
        raise ApiError(400, f"File {file.file_id} cannot be downloaded.")
    if file.active_at > call.world.clock.now() or _is_hidden(file):
        raise ApiError(404, "Requested entity was not found.")
    sent = await call.world.sent_file(file.recipe)
    return file_response(sent, mime_type=file.recipe.mime_type, range_header=call.request.headers.get("range"))


def find_file(call: Call, caller: Caller, file_id: str) -> GeminiFile | None:
    """The key's file of that id while it lives."""
    file = call.world.gemini.files.get(file_id)
    if file is None or file.owner != caller.owner:
        return None
    return file if call.world.clock.now() < file.created_at + FILE_LIFETIME_SECONDS else None


def file_json(call: Call, file: GeminiFile) -> dict[str, Any]:
    """The file object."""
    uri = f"{call.base_url}/v1beta/files/{file.file_id}"
    created = to_rfc3339(file.created_at)
    body = {
        "name": f"files/{file.file_id}",
        "displayName": file.display_name,
        "uri": uri,
        "mimeType": file.recipe.mime_type,
        "sizeBytes": str(file.size_bytes),
        "createTime": created,
        "updateTime": created,
        "expirationTime": to_rfc3339(file.created_at + FILE_LIFETIME_SECONDS),
        "sha256Hash": file.sha256,
        "state": "ACTIVE" if file.active_at <= call.world.clock.now() else "PROCESSING",
        "source": file.source,
    }
    if file.source == "GENERATED":
        body["downloadUri"] = f"{uri}:download?alt=media"
    return body


def page_json(call: Call, name: str, items: list[dict[str, Any]], size_at_most: int) -> dict[str, Any]:
    """One page of a list, by ``pageSize`` and ``pageToken``. Raises ApiError 400 for senseless ones."""
    query = call.request.query_params
    size_text, start_text = query.get("pageSize", "50"), query.get("pageToken") or "0"
    if not size_text.isdigit() or not start_text.isdigit():
        raise ApiError(400, "pageSize or pageToken is invalid.")
    start, size = int(start_text), min(int(size_text) or 50, size_at_most)
    body: dict[str, Any] = {name: items[start : start + size]}
    if start + size < len(items):
        body["nextPageToken"] = str(start + size)
    return body


async def _require_file(call: Call) -> GeminiFile:
    caller = identify_key(call)
    file = find_file(call, caller, call.request.path_params["file_id"])
    course = file.course if file is not None else None
    await call.begin(account=caller.name, prompt=course.prompt if course is not None else "")
    if file is None:
        raise ApiError(403, "You do not have permission to access the File or it may not exist.")
    return file


def _is_hidden(file: GeminiFile) -> bool:
    return file.course is not None and file.course.spoils(FaultKind.MEDIA_404, default_answers=2)


def _store_upload(call: Call, session: UploadSession) -> GeminiFile:
    content = bytes(session.content)
    now = call.world.clock.now()
    file = GeminiFile(
        file_id=secrets.token_hex(6),
        owner=session.owner,
        recipe=StoredFile(content, session.mime_type),
        size_bytes=len(content),
        created_at=now,
        active_at=now,
        source="UPLOADED",
        display_name=session.display_name,
        sha256=base64.b64encode(hashlib.sha256(content).hexdigest().encode()).decode(),
    )
    call.world.gemini.files[file.file_id] = file
    return file
