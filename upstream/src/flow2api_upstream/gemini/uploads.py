"""Pictures that are too many or too large for one call: sent up as files before it.

Source: docs/upstream/google-official.md, sections 5 (about 20 MB in one call) and 9.
"""

import asyncio
from collections.abc import Mapping, Sequence

from flow2api_upstream.gemini.api import GeminiApi
from flow2api_upstream.google.calls import GoogleCalls
from flow2api_upstream.google.classify import Scope, upstream
from flow2api_upstream.google.handles import GoogleMedia
from flow2api_upstream.http import HttpRequest, origin_of
from flow2api_upstream.http_body import StreamedBody, json_body
from flow2api_upstream.json_reading import as_object, object_at, text_at
from flow2api_upstream.port import Account, SourceImage, UploadedImage

INLINE_BYTES = 14 * 1024 * 1024
"""What may go inside one call: base64 makes 18.7 MiB of it, below the 20 MB of a request."""

_READY_LOOKS = 20
_READY_PAUSE_SECONDS = 0.25


async def fitted(
    calls: GoogleCalls, api: GeminiApi, account: Account, images: Sequence[UploadedImage]
) -> list[UploadedImage]:
    """The pictures in their order, the largest ones as files where all together are too large for a call."""
    sizes = {index: len(image.inline.data) for index, image in enumerate(images) if image.inline is not None}
    fitting = list(images)
    for index in sorted(sizes, key=lambda each: sizes[each], reverse=True):
        if sum(sizes.values()) <= INLINE_BYTES:
            break
        picture = images[index].inline
        if picture is not None:
            fitting[index] = UploadedImage(handle=(await _upload(calls, api, account, picture)).handle(api.provider))
        del sizes[index]
    return fitting


async def _upload(calls: GoogleCalls, api: GeminiApi, account: Account, image: SourceImage) -> GoogleMedia:
    start = HttpRequest(
        "POST",
        api.upload_url,
        headers={
            "content-type": "application/json",
            "x-goog-upload-protocol": "resumable",
            "x-goog-upload-command": "start",
            "x-goog-upload-header-content-length": str(len(image.data)),
            "x-goog-upload-header-content-type": image.mime_type,
        },
        credentials=api.credentials(account),
        body=json_body({"file": {"mimeType": image.mime_type}}),
        proxy_url=account.proxy_url,
    )
    answer = await calls.client.send(start)
    if not answer.is_success:
        raise calls.failure_of(answer, scope=Scope.CONTROL)
    url = answer.headers.get("x-goog-upload-url", "")
    if origin_of(url) != origin_of(api.base_url):
        raise upstream("The upstream names no place to send the picture to.", "malformed_answer")
    send = HttpRequest(
        "POST",
        url,
        headers={"x-goog-upload-offset": "0", "x-goog-upload-command": "upload, finalize"},
        body=image.data if isinstance(image.data, bytes) else StreamedBody([image.data]),
        timeout=calls.settings.upload_timeout,
        proxy_url=account.proxy_url,
        repeatable=False,
    )
    answer = await calls.client.send(send)
    if not answer.is_success:
        raise calls.failure_of(answer, scope=Scope.CONTROL)
    try:
        file = object_at(as_object(await answer.json()), "file")
    except ValueError as exc:
        raise upstream("The upstream's answer is no JSON.", "malformed_answer") from exc
    file = await _ready(calls, api, account, file)
    return GoogleMedia(uri=text_at(file, "uri"), mime_type=image.mime_type)


async def _ready(
    calls: GoogleCalls, api: GeminiApi, account: Account, file: Mapping[str, object]
) -> Mapping[str, object]:
    for _ in range(_READY_LOOKS):
        if text_at(file, "state") == "ACTIVE" and text_at(file, "uri"):
            return file
        if text_at(file, "state") != "PROCESSING" or not text_at(file, "name").startswith("files/"):
            break
        await asyncio.sleep(_READY_PAUSE_SECONDS)
        file = await calls.call(account, "GET", api.url(f"/{text_at(file, 'name')}"), scope=Scope.CONTROL)
    raise upstream("The upstream could not read the picture.", "file_not_active")
