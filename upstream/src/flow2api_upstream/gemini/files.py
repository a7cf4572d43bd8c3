"""The file of a finished clip. Source: docs/upstream/google-official.md, sections 6 and 9."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

from flow2api_upstream.base64_text import decode_text
from flow2api_upstream.gemini.calls import GeminiCalls, key_header
from flow2api_upstream.gemini.classify import Scope, failure_of_answer, upstream
from flow2api_upstream.gemini.handles import GeminiMedia
from flow2api_upstream.gemini.interactions import read_interaction, videos_of
from flow2api_upstream.http import HttpRequest, origin_of
from flow2api_upstream.json_reading import first_text, text_at
from flow2api_upstream.port import Account, FailureClass, MediaHandle, MediaStream, UpstreamFailure

_CHUNK_BYTES = 1024 * 1024


@asynccontextmanager
async def fetch_video(calls: GeminiCalls, account: Account, handle: MediaHandle) -> AsyncIterator[MediaStream]:
    """Open a finished clip, whether it is a file or inside the answer."""
    media = GeminiMedia.read(handle)
    if media.uri:
        async with fetch_url(calls, account, media.uri) as stream:
            yield stream
        return
    answer = await read_interaction(calls, account, media.interaction)
    video = next((piece for piece in videos_of(answer) if text_at(piece, "data")), None)
    if video is None:
        raise _gone("no_video")
    try:
        data = await decode_text(text_at(video, "data"))
    except ValueError as exc:
        raise upstream("The upstream's clip is damaged.", "malformed_answer") from exc
    mime_type = first_text(text_at(video, "mime_type"), "video/mp4")
    yield MediaStream(_pieces(data), mime_type, len(data))


@asynccontextmanager
async def fetch_url(calls: GeminiCalls, account: Account, url: str) -> AsyncIterator[MediaStream]:
    """Open a file. The key goes to the API's own host alone: not to another one, nor along a redirect to one."""
    if urlsplit(url).scheme not in {"https", "http"}:
        raise upstream("The clip is not where it can be read.", "unreadable_uri")
    is_own = origin_of(url) == origin_of(calls.base_url)
    request = HttpRequest(
        "GET",
        _download_of(url) if is_own else url,
        headers={"accept-encoding": "identity"},
        credentials=key_header(account) if is_own else {},
        proxy_url=account.proxy_url,
    )
    async with calls.client.stream(request) as stream:
        if not stream.is_success:
            raise failure_of_answer(stream.status, stream.error_body, {}, scope=Scope.MEDIA, now=calls.clock())
        if "html" in stream.content_type:
            raise _gone("no_media")
        yield MediaStream(stream.chunks, stream.content_type, stream.content_length)


def _download_of(url: str) -> str:
    """The bytes of a file, where only the file is named."""
    parts = urlsplit(url)
    if "/files/" in parts.path and ":download" not in parts.path:
        return parts._replace(path=f"{parts.path}:download", query="alt=media").geturl()
    return url


async def _pieces(data: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(data), _CHUNK_BYTES):
        yield data[start : start + _CHUNK_BYTES]


def _gone(reason: str) -> UpstreamFailure:
    return UpstreamFailure(FailureClass.MEDIA_GONE, "The file is not there, or not yet.", reason=reason)
