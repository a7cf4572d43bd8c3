"""Finished clips inside answers, decoded while they come.

Source: docs/upstream/google-official.md, sections 6 and 8.
"""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager

from flow2api_upstream.base64_stream import NoSuchMember, decoded_member
from flow2api_upstream.google.calls import GoogleCalls
from flow2api_upstream.google.classify import Scope, upstream
from flow2api_upstream.google.handles import GoogleMedia
from flow2api_upstream.google.interactions import interaction_request
from flow2api_upstream.google.operations import BYTES_MEMBER, operation_request
from flow2api_upstream.port import Account, FailureClass, MediaStream, UpstreamFailure

CLIP_TYPE = "video/mp4"
_INTERACTION_MEMBER = "data"


@asynccontextmanager
async def inline_clip(calls: GoogleCalls, account: Account, media: GoogleMedia) -> AsyncIterator[MediaStream]:
    """Open a clip that is inside the answer about its operation or interaction, in constant memory."""
    if media.operation:
        request, member = operation_request(calls, account, media.operation), BYTES_MEMBER
    else:
        request, member = interaction_request(calls, account, media.interaction), _INTERACTION_MEMBER
    async with calls.open(request, scope=Scope.MEDIA) as stream:
        clip = _decoded(stream.chunks, member)
        async with aclosing(clip):
            # Whether there is one at all is known before anything is handed on.
            first = await anext(clip)
            async with aclosing(_joined(first, clip)) as chunks:
                yield MediaStream(chunks, media.mime_type or CLIP_TYPE, None)


def gone(reason: str) -> UpstreamFailure:
    """The clip is not there, or not yet."""
    return UpstreamFailure(FailureClass.MEDIA_GONE, "The file is not there, or not yet.", reason=reason)


async def _decoded(chunks: AsyncIterator[bytes], member: str) -> AsyncGenerator[bytes]:
    try:
        async for data in decoded_member(chunks, member):
            yield data
    except NoSuchMember as exc:
        raise gone("no_video") from exc
    except ValueError as exc:
        raise upstream("The upstream's clip is damaged.", "malformed_answer") from exc


async def _joined(first: bytes, rest: AsyncIterator[bytes]) -> AsyncGenerator[bytes]:
    yield first
    async for data in rest:
        yield data
