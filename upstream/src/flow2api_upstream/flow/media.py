"""The file of a finished clip: by its address, by a redirect, or as base64.

Source: docs/upstream/flow.md, section 10.
"""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from urllib.parse import quote, urlsplit

from flow2api_upstream.base64_stream import NoSuchMember, decoded_member
from flow2api_upstream.flow.calls import FlowCalls
from flow2api_upstream.flow.classify import Scope, failure_of_answer, malformed
from flow2api_upstream.flow.handles import FlowMedia
from flow2api_upstream.http import HttpRequest, HttpStream
from flow2api_upstream.port import Account, FailureClass, MediaHandle, MediaStream, UpstreamFailure

_LOGIN_WORDS = ("signin", "login", "consent", "/auth/")
_LOGIN_HOST = "accounts.google.com"
_WHOLE = {"accept-encoding": "identity"}
_SAYS_MORE_THAN_GONE = (
    FailureClass.VERIFICATION,
    FailureClass.AUTH,
    FailureClass.FORBIDDEN,
    FailureClass.THROTTLED,
    FailureClass.NETWORK,
    FailureClass.UPSTREAM,
)


@asynccontextmanager
async def fetch_video(calls: FlowCalls, account: Account, handle: MediaHandle) -> AsyncIterator[MediaStream]:
    """Open a finished clip: the first of the three ways that works. MEDIA_GONE while none has it yet."""
    media = FlowMedia.read(handle)
    async with AsyncExitStack() as stack:
        failures: list[UpstreamFailure] = []
        stream: MediaStream | None = None
        for way in (_by_url, _by_redirect, _by_base64):
            try:
                stream = await stack.enter_async_context(way(calls, account, media))
            except UpstreamFailure as failure:
                failures.append(failure)
            else:
                break
        if stream is None:
            raise _most_telling(failures)
        yield stream


@asynccontextmanager
async def fetch_url(calls: FlowCalls, account: Account, url: str) -> AsyncIterator[MediaStream]:
    """Open a signed address. It needs no authentication, and gets none."""
    request = HttpRequest("GET", url, headers=_WHOLE, proxy_url=account.proxy_url)
    async with calls.client.stream(request) as stream:
        if not stream.is_success or "html" in stream.content_type:
            raise _not_there(stream)
        yield MediaStream(stream.chunks, stream.content_type, stream.content_length)


@asynccontextmanager
async def _by_url(calls: FlowCalls, account: Account, media: FlowMedia) -> AsyncIterator[MediaStream]:
    if not media.url:
        raise _gone("no_url")
    async with fetch_url(calls, account, media.url) as stream:
        yield stream


@asynccontextmanager
async def _by_redirect(calls: FlowCalls, account: Account, media: FlowMedia) -> AsyncIterator[MediaStream]:
    if not (media.name and account.session_token):
        raise _gone("no_name_or_cookie")
    path = f"/trpc/media.getMediaUrlRedirect?name={quote(media.name, safe='')}&mediaUrlType=MEDIA_URL_TYPE_FULL_MEDIA"
    answer = await calls.client.send(
        calls.labs_request("GET", path, account.session_token, proxy_url=account.proxy_url)
    )
    location = answer.location
    if not location or _is_login(location):
        raise _gone("no_redirect", http_status=answer.status)
    async with fetch_url(calls, account, location) as stream:
        yield stream


@asynccontextmanager
async def _by_base64(calls: FlowCalls, account: Account, media: FlowMedia) -> AsyncIterator[MediaStream]:
    if not media.name:
        raise _gone("no_name")
    request = calls.api_request(account, "GET", f"/media/{quote(media.name, safe='')}")
    async with calls.client.stream(request, follow_redirects=False) as stream:
        if not stream.is_success:
            raise failure_of_answer(stream.status, stream.error_body, {}, scope=Scope.MEDIA, now=calls.clock())
        async with aclosing(_decoded(stream.chunks)) as decoded:
            first = await anext(decoded)
            async with aclosing(_with_first(first, decoded)) as chunks:
                yield MediaStream(chunks, "video/mp4", None)


async def _decoded(chunks: AsyncIterator[bytes]) -> AsyncGenerator[bytes]:
    try:
        async for data in decoded_member(chunks, "encodedVideo"):
            yield data
    except NoSuchMember as exc:
        raise _gone("no_video") from exc
    except ValueError as exc:
        raise malformed("the clip is no base64") from exc


async def _with_first(first: bytes, rest: AsyncIterator[bytes]) -> AsyncGenerator[bytes]:
    yield first
    async for data in rest:
        yield data


def _is_login(location: str) -> bool:
    parts = urlsplit(location)
    return parts.hostname == _LOGIN_HOST or any(word in parts.path.lower() for word in _LOGIN_WORDS)


def _not_there(stream: HttpStream) -> UpstreamFailure:
    if stream.status >= 500:
        return UpstreamFailure(
            FailureClass.UPSTREAM,
            "The upstream's media server failed.",
            reason="media_server",
            http_status=stream.status,
        )
    return _gone("media_server", http_status=stream.status)


def _gone(reason: str, *, http_status: int | None = None) -> UpstreamFailure:
    return UpstreamFailure(
        FailureClass.MEDIA_GONE, "The file is not there, or not yet.", reason=reason, http_status=http_status
    )


def _most_telling(failures: list[UpstreamFailure]) -> UpstreamFailure:
    for failure_class in _SAYS_MORE_THAN_GONE:
        for failure in failures:
            if failure.failure_class is failure_class:
                return failure
    return failures[-1]
