"""The media host: signed, expiring links to real files, with range requests.

Source: docs/upstream/flow.md, sections 1, 10 and 16.
"""

import hashlib
import hmac
import re
from collections.abc import AsyncIterator

from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from flow2api_sandbox.assets import FlowAsset
from flow2api_sandbox.calls import Call, endpoint
from flow2api_sandbox.errors import ApiError, render_flow
from flow2api_sandbox.faults import FaultKind
from flow2api_sandbox.media.served import PIECE_BYTES, SentFile
from flow2api_sandbox.world import World

_RANGE = re.compile(r"bytes=(\d*)-(\d*)")
_EXPIRED = "The signed URL is invalid or has expired."


def signed_url(call: Call, asset: FlowAsset) -> str:
    """The link to a medium, good for ``signed_url_lifetime``."""
    expires = int(call.world.clock.now() + call.world.settings.signed_url_lifetime.total_seconds())
    signature = _sign(call.world, asset.name, expires)
    return f"{call.base_url}/cdn/{asset.kind.value}/{asset.name}?Expires={expires}&Signature={signature}"


def cdn_routes(world: World) -> list[Route]:
    """The routes of the media host."""
    serve = endpoint(world, "cdn", _serve_media, render_flow)
    return [Route("/cdn/{kind}/{name}", serve, methods=["GET", "HEAD"])]


def file_response(file: SentFile, *, mime_type: str, range_header: str | None) -> Response:
    """A file, whole (200) or in part (206), or 416 when the range lies outside."""
    headers = {"accept-ranges": "bytes", "cache-control": "private, max-age=3600"}
    match = _RANGE.fullmatch(range_header or "")
    if match is None or match.groups() == ("", ""):
        return _streamed(file, 0, file.size_bytes, mime_type=mime_type, headers=headers)
    size = file.size_bytes
    first_text, last_text = match.groups()
    if first_text:
        first, last = int(first_text), min(int(last_text or size - 1), size - 1)
    else:
        first, last = max(0, size - int(last_text)), size - 1
    if first > last:
        return Response(
            status_code=416, headers={**headers, "content-type": mime_type, "content-range": f"bytes */{size}"}
        )
    headers["content-range"] = f"bytes {first}-{last}/{size}"
    return _streamed(file, first, last + 1, mime_type=mime_type, headers=headers, status=206)


def _streamed(
    file: SentFile, start: int, end: int, *, mime_type: str, headers: dict[str, str], status: int = 200
) -> Response:
    if end - start <= PIECE_BYTES:
        return Response(b"".join(file.pieces(start, end)), status_code=status, media_type=mime_type, headers=headers)

    async def pieces() -> AsyncIterator[bytes]:
        for piece in file.pieces(start, end):
            yield piece

    headers = {**headers, "content-length": str(end - start)}
    return StreamingResponse(pieces(), status_code=status, media_type=mime_type, headers=headers)


async def _serve_media(call: Call) -> Response:
    world, parameters = call.world, call.request.path_params
    asset = world.assets.get(parameters["name"])
    if asset is None or asset.kind.value != parameters["kind"]:
        raise ApiError(404, "Requested entity was not found.")
    await call.begin(account=asset.owner, prompt=asset.prompt)
    query = call.request.query_params
    expires = query.get("Expires", "")
    if not expires.isdigit() or int(expires) < world.clock.now():
        raise ApiError(403, _EXPIRED)
    if not hmac.compare_digest(query.get("Signature", ""), _sign(world, asset.name, int(expires))):
        raise ApiError(403, _EXPIRED)
    require_stored(world, asset)
    file = await world.sent_file(asset.recipe)
    return file_response(file, mime_type=asset.recipe.mime_type, range_header=call.request.headers.get("range"))


def require_stored(world: World, asset: FlowAsset) -> None:
    """Raise ApiError 404 while the file is not there yet, or a ``media_404`` fault hides it (by default twice)."""
    if not asset.is_available(world.clock.now()):
        raise ApiError(404, "Requested entity was not found.")
    if asset.course is not None and asset.course.spoils(FaultKind.MEDIA_404, default_answers=2):
        raise ApiError(404, "Requested entity was not found.")


def _sign(world: World, name: str, expires: int) -> str:
    return hmac.new(world.url_secret, f"{name}:{expires}".encode(), hashlib.sha256).hexdigest()
