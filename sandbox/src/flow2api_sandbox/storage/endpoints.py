"""Cloud Storage's JSON API: objects are read, whole or in part, described, and written in one piece.

Source: docs/upstream/google-official.md, section 9.
"""

from typing import Any
from urllib.parse import quote, unquote

from starlette.responses import Response

from flow2api_sandbox.calls import Call
from flow2api_sandbox.cdn import file_response
from flow2api_sandbox.clock import to_rfc3339
from flow2api_sandbox.errors import ApiError
from flow2api_sandbox.faults import FaultKind
from flow2api_sandbox.identity.accounts import Principal
from flow2api_sandbox.identity.assertions import CLOUD_PLATFORM
from flow2api_sandbox.identity.bearers import require_bearer
from flow2api_sandbox.media.recipes import StoredFile
from flow2api_sandbox.storage.store import Bucket, GcsUri, StoredObject
from flow2api_sandbox.wire import json_response

SERVICE = "storage.googleapis.com"
_SCOPE = "https://www.googleapis.com/auth/devstorage."
_READ_SCOPES = frozenset({CLOUD_PLATFORM, _SCOPE + "read_only", _SCOPE + "read_write", _SCOPE + "full_control"})
_WRITE_SCOPES = _READ_SCOPES - {_SCOPE + "read_only"}
_REASONS = {400: "invalid", 401: "authError", 403: "forbidden", 404: "notFound", 429: "rateLimitExceeded"}


def render_storage(error: ApiError) -> Response:
    """Cloud Storage's own envelope."""
    reason = _REASONS.get(error.http_status, "backendError")
    one = {"message": error.message, "domain": "global", "reason": reason}
    body = {"error": {"code": error.http_status, "message": error.message, "errors": [one]}}
    headers = {} if error.retry_after is None else {"retry-after": f"{error.retry_after:g}"}
    return json_response(body, status=error.http_status, headers=headers)


async def get_object(call: Call) -> Response:
    """The bytes with ``alt=media`` (ranges work), else what is known about the object."""
    name = _object_name(call)
    principal = require_bearer(call, service=SERVICE, scopes=_READ_SCOPES)
    bucket = call.world.storage.buckets.get(call.request.path_params["bucket"])
    stored = bucket.objects.get(name) if bucket is not None else None
    course = stored.course if stored is not None else None
    await call.begin(
        account=principal.name,
        prompt=course.prompt if course is not None else "",
        project=bucket.project if bucket is not None else "",
    )
    if bucket is None:
        raise ApiError(404, "The specified bucket does not exist.")
    _require_access(principal, bucket, name, "storage.objects.get")
    if stored is None or stored.active_at > call.world.clock.now():
        raise ApiError(404, f"No such object: {bucket.name}/{name}")
    if call.request.query_params.get("alt") != "media":
        return json_response(await _object_json(call, bucket, name, stored))
    if course is not None and course.spoils(FaultKind.MEDIA_404, default_answers=2):
        raise ApiError(404, f"No such object: {bucket.name}/{name}")
    file = await call.world.sent_file(stored.recipe)
    return file_response(file, mime_type=stored.recipe.mime_type, range_header=call.request.headers.get("range"))


async def put_object(call: Call) -> Response:
    """Write the body as an object (``uploadType=media&name=…``)."""
    principal = require_bearer(call, service=SERVICE, scopes=_WRITE_SCOPES)
    query = call.request.query_params
    name = query.get("name", "")
    bucket = call.world.storage.buckets.get(call.request.path_params["bucket"])
    await call.begin(account=principal.name, project=bucket.project if bucket is not None else "")
    if bucket is None:
        raise ApiError(404, "The specified bucket does not exist.")
    _require_access(principal, bucket, name, "storage.objects.create")
    if query.get("uploadType") != "media" or not name:
        raise ApiError(400, "Only uploadType=media with a name is taken.")
    now = call.world.clock.now()
    mime_type = call.request.headers.get("content-type") or "application/octet-stream"
    stored = StoredObject(StoredFile(await call.read_bytes(), mime_type), created_at=now, active_at=now)
    call.world.storage.put(GcsUri(bucket.name, name), stored)
    return json_response(await _object_json(call, bucket, name, stored))


def _object_name(call: Call) -> str:
    """The name of the path. Raises ApiError 404 when its slashes are not percent-encoded: that is another address."""
    raw = call.request.scope.get("raw_path", b"").partition(b"?")[0].decode("ascii", "replace")
    encoded = raw.rpartition("/o/")[2] if "/o/" in raw else ""
    if not encoded or "/" in encoded:
        raise ApiError(404, "Not Found")
    return unquote(encoded)


def _require_access(principal: Principal, bucket: Bucket, name: str, permission: str) -> None:
    if bucket.project not in principal.projects:
        raise ApiError(
            403,
            f"{principal.name} does not have {permission} access to the Google Cloud Storage object. Permission"
            f" '{permission}' denied on resource (or it may not exist): {bucket.name}/{name}",
        )


async def _object_json(call: Call, bucket: Bucket, name: str, stored: StoredObject) -> dict[str, Any]:
    file = await call.world.sent_file(stored.recipe)
    path = f"{call.base_url}/storage/v1/b/{bucket.name}/o/{quote(name, safe='')}"
    return {
        "kind": "storage#object",
        "id": f"{bucket.name}/{name}",
        "selfLink": path,
        "mediaLink": f"{path}?alt=media",
        "name": name,
        "bucket": bucket.name,
        "contentType": stored.recipe.mime_type,
        "size": str(file.size_bytes),
        "timeCreated": to_rfc3339(stored.created_at),
        "updated": to_rfc3339(stored.created_at),
    }
