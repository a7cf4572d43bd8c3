"""Files of the Gemini API: finished clips. Source: docs/upstream/google-official.md, sections 6, 8 and 9."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

from flow2api_upstream.google.calls import GoogleCalls
from flow2api_upstream.google.classify import Scope, failure_of_answer, upstream
from flow2api_upstream.google.handles import GoogleMedia
from flow2api_upstream.google.media import gone, inline_clip
from flow2api_upstream.http import HttpRequest, origin_of
from flow2api_upstream.port import Account, MediaHandle, MediaStream


@asynccontextmanager
async def fetch_video(calls: GoogleCalls, account: Account, handle: MediaHandle) -> AsyncIterator[MediaStream]:
    """Open a finished clip, whether it is a file or inside the answer."""
    media = GoogleMedia.read(calls.api.provider, handle)
    opened = fetch_url(calls, account, media.uri) if media.uri else inline_clip(calls, account, media)
    async with opened as stream:
        yield stream


@asynccontextmanager
async def fetch_url(calls: GoogleCalls, account: Account, url: str) -> AsyncIterator[MediaStream]:
    """Open a file. The key goes to the API's own host alone: not to another one, nor along a redirect to one."""
    if urlsplit(url).scheme not in {"https", "http"}:
        raise upstream("The clip is not where it can be read.", "unreadable_uri")
    is_own = origin_of(url) == origin_of(calls.settings.gemini_url)
    request = HttpRequest(
        "GET",
        _download_of(url) if is_own else url,
        headers={"accept-encoding": "identity"},
        credentials=calls.api.credentials(account) if is_own else {},
        proxy_url=account.proxy_url,
    )
    async with calls.client.stream(request) as stream:
        if not stream.is_success:
            raise failure_of_answer(stream.status, stream.error_body, {}, scope=Scope.MEDIA, now=calls.clock())
        if "html" in stream.content_type:
            raise gone("no_media")
        yield MediaStream(stream.chunks, stream.content_type, stream.content_length)


def _download_of(url: str) -> str:
    """The bytes of a file, where only the file is named."""
    parts = urlsplit(url)
    if "/files/" in parts.path and ":download" not in parts.path:
        return parts._replace(path=f"{parts.path}:download", query="alt=media").geturl()
    return url
