"""Jobs as operations of Vertex, which have their clip inside. Source: docs/upstream/google-official.md, section 8."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from typing import Any, Final

import orjson
from starlette.responses import Response, StreamingResponse

from flow2api_common.errors import NotFound
from flow2api_common.media_store import MediaStore
from flow2api_gateway.edge.responses import json_response
from flow2api_gateway.gemini.videos.grpc_to_operations import operation_error
from flow2api_gateway.generation.videos import FINAL_STATES
from flow2api_gateway.media.serving import begun
from flow2api_proto.generation.v1 import media_pb2, video_pb2

_TYPE: Final = "type.googleapis.com/cloud.ai.large_models.vision.GenerateVideoResponse"


async def vertex_operation(video: video_pb2.Video, name: str, store: MediaStore) -> Response:
    """What ``fetchPredictOperation`` answers; a clip is encoded as it is read, in constant memory.

    Raises NotFound VIDEO_EXPIRED when the clip is not kept any more.
    """
    if video.state not in FINAL_STATES:
        return json_response({"name": name})
    if video.state == video_pb2.VIDEO_STATE_COMPLETED:
        return await _with_clip(name, video.media, store)
    if video.state == video_pb2.VIDEO_STATE_FILTERED:
        reason = video.error.message or "The content was refused."
        response = {"@type": _TYPE, "raiMediaFilteredCount": 1, "raiMediaFilteredReasons": [reason]}
        return json_response({"name": name, "done": True, "response": response})
    return json_response({"name": name, "done": True, "error": operation_error(video)})


async def _with_clip(name: str, media: media_pb2.Media, store: MediaStore) -> Response:
    before, after = _around_the_clip(name, media.content_type or "video/mp4")
    try:
        content = await begun(store.stream(media.object_key))
    except NotFound as exc:
        raise NotFound("The video is not kept any more.", reason="VIDEO_EXPIRED") from exc

    async def pieces() -> AsyncIterator[bytes]:
        yield before
        async for piece in encoded(content):
            yield piece
        yield after

    # With its length, a client knows an answer that broke off from a whole one.
    length = len(before) + 4 * -(-media.size_bytes // 3) + len(after)
    return StreamingResponse(pieces(), media_type="application/json", headers={"content-length": str(length)})


def _around_the_clip(name: str, mime_type: str) -> tuple[bytes, bytes]:
    videos: list[dict[str, Any]] = [{"mimeType": mime_type, "bytesBase64Encoded": ""}]
    response = {"@type": _TYPE, "raiMediaFilteredCount": 0, "videos": videos}
    written = orjson.dumps({"name": name, "done": True, "response": response})
    end = written.rindex(b'""') + 1
    return written[:end], written[end:]


async def encoded(content: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The pieces as one text in base64: only the last of them may end within a group of three bytes."""
    rest = b""
    async for piece in content:
        piece = rest + piece
        whole = len(piece) - len(piece) % 3
        rest = piece[whole:]
        if whole:
            yield base64.b64encode(piece[:whole])
    if rest:
        yield base64.b64encode(rest)
