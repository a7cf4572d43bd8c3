"""A stored file as an HTTP answer: whole, one range of it, or its head."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from flow2api_common.media_store import MediaStore
from flow2api_common.media_types import extension_of
from flow2api_gateway.edge.head_requests import is_head
from flow2api_gateway.media.ranges import RangeNotSatisfiable, parse_range


@dataclass(frozen=True, slots=True)
class ServedFile:
    """What is served. Files never change, so the name of the content is enough for ``etag``."""

    name: str
    content_type: str
    size_bytes: int
    is_attachment: bool = False
    cache_seconds: int = 86_400

    @property
    def etag(self) -> str:
        """The strong validator."""
        return f'"{self.name}"'


def file_headers(file: ServedFile) -> dict[str, str]:
    """Headers of every answer about the file."""
    disposition = "attachment" if file.is_attachment else "inline"
    return {
        "content-type": file.content_type,
        "accept-ranges": "bytes",
        "etag": file.etag,
        "cache-control": f"private, max-age={file.cache_seconds}, immutable",
        "content-disposition": f'{disposition}; filename="{file.name}.{extension_of(file.content_type)}"',
        "x-content-type-options": "nosniff",
    }


async def serve_stored(request: Request, file: ServedFile, *, store: MediaStore, object_key: str) -> Response:
    """The file out of the store, streamed in constant memory. Raises NotFound when the object is missing."""

    headers = file_headers(file)
    if _is_known(request, file):
        return Response(status_code=304, headers=_without_content(headers))
    range_header = request.headers.get("range") if _range_applies(request, file) else None
    try:
        wanted = parse_range(range_header, file.size_bytes)
    except RangeNotSatisfiable:
        return Response(status_code=416, headers={"content-range": f"bytes */{file.size_bytes}"})
    start, end, status = 0, file.size_bytes, 200
    if wanted is not None:
        start, end, status = wanted.start, wanted.end, 206
        headers["content-range"] = f"bytes {start}-{end - 1}/{file.size_bytes}"
    headers["content-length"] = str(end - start)
    if is_head(request) or start == end:
        return Response(status_code=status, headers=headers)
    content = await begun(store.stream(object_key, start=start, end=end))
    return StreamingResponse(content, status_code=status, headers=headers)


def serve_bytes(request: Request, file: ServedFile, content: bytes) -> Response:
    """Bytes at hand; ranges are not needed for them."""
    headers = file_headers(file) | {"accept-ranges": "none"}
    if _is_known(request, file):
        return Response(status_code=304, headers=_without_content(headers))
    if is_head(request):
        return Response(headers=headers | {"content-length": str(len(content))})
    return Response(content, headers=headers)


async def begun(source: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The same pieces, after the first is there: a missing object must be told before the answer's head is sent."""
    first = await anext(source, b"")

    async def pieces() -> AsyncIterator[bytes]:
        yield first
        async for piece in source:
            yield piece

    return pieces()


def _is_known(request: Request, file: ServedFile) -> bool:
    known = request.headers.get("if-none-match", "")
    tags = [tag.strip().removeprefix("W/") for tag in known.split(",")]
    return "*" in tags or file.etag in tags


def _range_applies(request: Request, file: ServedFile) -> bool:
    condition = request.headers.get("if-range")
    return condition is None or condition.strip() == file.etag


def _without_content(headers: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in headers.items() if name in ("etag", "cache-control")}
