"""The clip that Veo extends. Source: docs/upstream/google-official.md, section 8."""

from flow2api_upstream.google.calls import GoogleCalls
from flow2api_upstream.google.classify import Scope
from flow2api_upstream.google.handles import GoogleMedia
from flow2api_upstream.google.media import CLIP_TYPE, gone
from flow2api_upstream.google.operations import BYTES_MEMBER, operation_request, videos_of
from flow2api_upstream.google.veo import no_source
from flow2api_upstream.json_reading import text_at
from flow2api_upstream.port import Account, MediaHandle


async def extension_source(calls: GoogleCalls, account: Account, handle: MediaHandle) -> dict[str, str]:
    """The clip as the call wants it: by its bucket, or the bytes again that came inside an answer.

    Raises BAD_INPUT when Veo has not made it, MEDIA_GONE when it is no longer there.
    """
    media = GoogleMedia.read(calls.api.provider, handle)
    if media.uri and media.operation:
        return {"gcsUri": media.uri, "mimeType": media.mime_type or CLIP_TYPE}
    if not media.operation:
        raise no_source()
    request = operation_request(calls, account, media.operation)
    answer = await calls.answer(request, scope=Scope.MEDIA)
    clip = next((each for each in videos_of(answer) if text_at(each, BYTES_MEMBER)), None)
    if clip is None:
        raise gone("no_video")
    return {BYTES_MEMBER: text_at(clip, BYTES_MEMBER), "mimeType": text_at(clip, "mimeType") or CLIP_TYPE}
