"""The bytes of a result, looked at."""

from __future__ import annotations

import asyncio

from flow2api_generation_service.lease_keeper import HeldToken
from flow2api_generation_service.media.pictures import NotAPicture, Picture, look_at
from flow2api_upstream.port import Account, FailureClass, ImageResult, Provider, UpstreamFailure

_PAUSES_SECONDS = (0.5, 2.0)
_WORTH_REPEATING = frozenset(
    {
        FailureClass.NETWORK,
        FailureClass.PROXY,
        FailureClass.UPSTREAM,
        FailureClass.MEDIA_GONE,
        FailureClass.THROTTLED,
    }
)


async def fetch_picture(provider: Provider, token: HeldToken, result: ImageResult, *, max_bytes: int) -> Picture:
    """The picture of a result; a download is repeated, because the picture is paid for. Raises UpstreamFailure."""
    data = result.data if result.data is not None else await _download(provider, token, result.url or "", max_bytes)
    try:
        return await look_at(data)
    except NotAPicture as exc:
        raise UpstreamFailure(FailureClass.UPSTREAM, "The upstream answered a file that is no picture.") from exc


async def _download(provider: Provider, token: HeldToken, url: str, max_bytes: int) -> bytes:
    async def read(account: Account) -> bytes:
        async with provider.fetch_url(account, url) as stream:
            data = bytearray()
            async for chunk in stream.chunks:
                data += chunk
                if len(data) > max_bytes:
                    raise UpstreamFailure(FailureClass.UPSTREAM, "The upstream answered a file that is too large.")
        return bytes(data)

    for pause in (*_PAUSES_SECONDS, None):
        try:
            return await token.authorized(read)
        except UpstreamFailure as failure:
            if pause is None or failure.failure_class not in _WORTH_REPEATING:
                raise
            await asyncio.sleep(pause)
    raise AssertionError("unreachable")
