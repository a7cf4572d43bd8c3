"""Pictures: made and enlarged. Source: docs/upstream/flow.md, section 7."""

import uuid
from collections.abc import Mapping, Sequence
from types import MappingProxyType

from flow2api_common.media_types import image_mime_type
from flow2api_upstream.base64_text import decode_text
from flow2api_upstream.flow.calls import FlowCalls, bad_input, client_context, new_session_id, seed_within
from flow2api_upstream.flow.classify import Scope, filtered, malformed
from flow2api_upstream.flow.handles import FlowMedia, in_project_of
from flow2api_upstream.flow.projects import of_missing
from flow2api_upstream.json_reading import int_at, object_at, objects_at, text_at
from flow2api_upstream.port import Account, ImageCall, ImageResult, MediaHandle, UploadedImage, UpstreamFailure

_MAX_SEED = 999_999
ASPECT_RATIOS: Mapping[str, str] = MappingProxyType(
    {
        "16:9": "IMAGE_ASPECT_RATIO_LANDSCAPE",
        "9:16": "IMAGE_ASPECT_RATIO_PORTRAIT",
        "1:1": "IMAGE_ASPECT_RATIO_SQUARE",
        "4:3": "IMAGE_ASPECT_RATIO_LANDSCAPE_FOUR_THREE",
        "3:4": "IMAGE_ASPECT_RATIO_PORTRAIT_THREE_FOUR",
    }
)
RESOLUTIONS: Mapping[str, str] = MappingProxyType(
    {"2K": "UPSAMPLE_IMAGE_RESOLUTION_2K", "4K": "UPSAMPLE_IMAGE_RESOLUTION_4K"}
)


async def generate_image(calls: FlowCalls, account: Account, call: ImageCall) -> ImageResult:
    """Make one picture of the base resolution. A success without a picture means that it was filtered."""
    session_id = new_session_id()
    account = in_project_of(account, [reference.handle for reference in call.references])
    try:
        answer = await calls.api(
            account,
            "POST",
            f"/projects/{account.project_id}/flowMedia:batchGenerateImages",
            image_body(account, call, session_id),
            scope=Scope.GENERATION_WITH_MEDIA if call.references else Scope.GENERATION,
            timeout=calls.settings.image_timeout,
            repeatable=False,  # Pictures cost no credits, but count against a daily quota.
        )
    except UpstreamFailure as failure:
        raise await of_missing(calls, account, failure) from failure.__cause__
    return await image_result(answer, account.project_id, session_id)


async def upscale_image(calls: FlowCalls, account: Account, media: MediaHandle, resolution: str) -> ImageResult:
    """Enlarge a picture that this account made. TIER when the plan does not allow it."""
    if resolution not in RESOLUTIONS:
        raise bad_input(f"Flow enlarges pictures to 2K or 4K, not to {resolution}.", "resolution")
    source = FlowMedia.read(media)
    account = in_project_of(account, [media])
    body = {
        "mediaId": source.name,
        "targetResolution": RESOLUTIONS[resolution],
        "clientContext": client_context(account, session_id=source.session, with_tier=True),
    }
    answer = await calls.api(
        account,
        "POST",
        "/flow/upsampleImage",
        body,
        scope=Scope.UPSCALE,
        timeout=calls.settings.image_timeout,
        repeatable=False,
    )
    data = await _decoded(text_at(answer, "encodedImage"))
    return ImageResult(data=data, url=None, mime_type=image_mime_type(data) or "image/jpeg", handle=None)


def image_body(account: Account, call: ImageCall, session_id: str) -> dict[str, object]:
    """The body of ``batchGenerateImages`` for one picture."""
    if call.aspect_ratio not in ASPECT_RATIOS:
        raise bad_input(f"Flow makes no pictures of the ratio {call.aspect_ratio}.", "aspect_ratio")
    context = client_context(account, session_id=session_id)
    return {
        "clientContext": context,
        "mediaGenerationContext": {"batchId": str(uuid.uuid4())},
        "useNewMedia": True,
        "requests": [
            {
                "clientContext": context,
                "seed": seed_within(call.seed, _MAX_SEED),
                "imageModelName": call.upstream_model,
                "imageAspectRatio": ASPECT_RATIOS[call.aspect_ratio],
                "structuredPrompt": {"parts": [{"text": call.prompt}]},
                "imageInputs": [
                    {"name": name, "imageInputType": "IMAGE_INPUT_TYPE_REFERENCE"}
                    for name in media_names(call.references)
                ],
            }
        ],
    }


def media_names(images: Sequence[UploadedImage]) -> list[str]:
    """The names of pictures sent up before. Raises BAD_INPUT for a picture that was not."""
    if any(image.handle is None for image in images):
        raise bad_input("A picture was not uploaded before it was used.", "image_not_uploaded")
    return [FlowMedia.read(image.handle).name for image in images if image.handle is not None]


async def image_result(answer: Mapping[str, object], project_id: str, session_id: str) -> ImageResult:
    """The first picture of an answer. Only its name and where it is are relied on."""
    for entry in objects_at(answer, "media"):
        picture = object_at(entry, "image", "generatedImage")
        url = text_at(picture, "fifeUrl")
        encoded = text_at(picture, "encodedImage")
        if not (url or encoded):
            continue
        data = None if url else await _decoded(encoded)
        media = FlowMedia(
            name=text_at(entry, "name") or text_at(picture, "mediaGenerationId"),
            project=text_at(entry, "projectId") or project_id,
            workflow=text_at(entry, "workflowId"),
            session=session_id,
        )
        return ImageResult(
            data=data,
            url=url or None,
            mime_type=(image_mime_type(data) or "image/jpeg") if data else "",
            handle=media.handle() if media.name else None,
            seed=int_at(picture, "seed"),
            remaining_credits=int_at(answer, "remainingCredits"),
        )
    raise filtered()


async def _decoded(encoded: str) -> bytes:
    try:
        return await decode_text(encoded)
    except ValueError as exc:
        raise malformed("the picture is no base64") from exc
