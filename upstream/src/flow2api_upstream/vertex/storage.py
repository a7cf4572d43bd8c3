"""Clips in a bucket. Source: docs/upstream/google-official.md, section 9."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import quote

from flow2api_upstream.google.calls import GoogleCalls
from flow2api_upstream.google.classify import Scope, upstream
from flow2api_upstream.google.media import CLIP_TYPE
from flow2api_upstream.port import Account, MediaStream

_GS = re.compile(r"gs://(?P<bucket>[a-z0-9][a-z0-9._-]{1,220}[a-z0-9])/(?P<name>.+)", re.DOTALL)


@asynccontextmanager
async def fetch_object(calls: GoogleCalls, account: Account, uri: str) -> AsyncIterator[MediaStream]:
    """Open an object of Cloud Storage with the account's own token. MEDIA_GONE when it is not there."""
    match = _GS.fullmatch(uri)
    if match is None:
        raise upstream("The clip is not where it can be read.", "unreadable_uri")
    base = calls.settings.google_storage_url.rstrip("/")
    url = f"{base}/storage/v1/b/{match['bucket']}/o/{quote(match['name'], safe='')}?alt=media"
    request = calls.request(account, "GET", url)
    async with calls.open(request, scope=Scope.MEDIA) as stream:
        yield MediaStream(stream.chunks, stream.content_type or CLIP_TYPE, stream.content_length)
