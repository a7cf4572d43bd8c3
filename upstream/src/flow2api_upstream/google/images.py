"""Pictures by ``generateContent``. Source: docs/upstream/google-official.md, section 5."""

from collections.abc import Mapping

from flow2api_common.media_types import image_mime_type
from flow2api_upstream.base64_text import decode_text, encode_image
from flow2api_upstream.google import reasons
from flow2api_upstream.google.calls import GoogleCalls
from flow2api_upstream.google.classify import Scope, content, failure_of_error, reads_as_refusal, upstream
from flow2api_upstream.google.inputs import uploaded_uri
from flow2api_upstream.json_reading import first_text, int_at, object_at, objects_at, text_at
from flow2api_upstream.port import (
    Account,
    ImageCall,
    ImageResult,
    UploadedImage,
    UpstreamFailure,
    UsageCount,
)

_WITHOUT_IMAGE_SIZE = ("gemini-2.5-",)
_WITH_PEOPLE = "vertex"
_PEOPLE = {"allow_all": "ALLOW_ALL", "allow_adult": "ALLOW_ADULT", "dont_allow": "ALLOW_NONE"}
"""The Gemini API has no such field. Source: docs/upstream/google-official.md, section 5."""
_MAX_SEED = 2**31 - 1
_LONGEST_TEXT = 500


async def generate_image(calls: GoogleCalls, account: Account, call: ImageCall) -> ImageResult:
    """Make one picture. CONTENT carries the model's own words when it refused in words."""
    scope = Scope.GENERATION_WITH_MEDIA if any(each.handle for each in call.references) else calls.api.generation_scope
    answer = await calls.call(
        account,
        "POST",
        calls.api.model_url(account, call.upstream_model, "generateContent"),
        image_body(calls.api.provider, call),
        scope=scope,
        timeout=calls.settings.image_timeout,
        paid=True,
    )
    if "error" in answer and "candidates" not in answer:
        raise failure_of_error(object_at(answer, "error"), scope=scope, now=calls.clock())
    return await image_result(answer, call.seed)


def image_body(provider: str, call: ImageCall) -> dict[str, object]:
    """The body of ``generateContent`` for one picture."""
    image_config = {"aspectRatio": call.aspect_ratio} if call.aspect_ratio else {}
    if call.resolution and not call.upstream_model.startswith(_WITHOUT_IMAGE_SIZE):
        image_config["imageSize"] = call.resolution
    if call.person_generation and provider == _WITH_PEOPLE:
        image_config["personGeneration"] = _PEOPLE[call.person_generation]
    parts: list[dict[str, object]] = [{"text": call.prompt}]
    parts += [_picture(provider, image) for image in call.references]
    return {
        "contents": [{"role": "user", "parts": parts}],
        "generationConfig": {
            "responseModalities": ["TEXT", "IMAGE"],
            "imageConfig": image_config,
            "seed": call.seed % (_MAX_SEED + 1),
            "candidateCount": 1,
        },
    }


def _picture(provider: str, image: UploadedImage) -> dict[str, object]:
    if image.inline is not None:
        data = encode_image(image.inline)
        return {"inlineData": {"mimeType": image.inline.mime_type, "data": data}}
    media = uploaded_uri(provider, image)
    return {"fileData": {"mimeType": media.mime_type, "fileUri": media.uri}}


async def image_result(answer: Mapping[str, object], seed: int) -> ImageResult:
    """The last picture of an answer that is no draft. Raises CONTENT or UPSTREAM when there is none."""
    candidate = next(iter(objects_at(answer, "candidates")), None)
    if candidate is None:
        raise _blocked(answer)
    parts = [part for part in objects_at(candidate, "content", "parts") if part.get("thought") is not True]
    text = "".join(text_at(part, "text") for part in parts).strip()
    pictures = [text_data for part in parts if (text_data := _inline_data_of(part))]
    if not pictures:
        raise _without_picture(candidate, text)
    try:
        data = await decode_text(pictures[-1])
    except ValueError as exc:
        raise upstream("The upstream's picture is damaged.", "malformed_answer", paid=True) from exc
    return ImageResult(
        data=data,
        url=None,
        mime_type=image_mime_type(data) or "image/png",
        handle=None,
        seed=seed,
        text=text,
        usage=_usage_of(object_at(answer, "usageMetadata")),
    )


def _inline_data_of(part: Mapping[str, object]) -> str:
    return first_text(text_at(part, "inlineData", "data"), text_at(part, "inline_data", "data"))


def _blocked(answer: Mapping[str, object]) -> UpstreamFailure:
    reason = text_at(answer, "promptFeedback", "blockReason")
    if not reason:
        return upstream("The upstream answered without a result.", "no_candidates")
    return content(reasons.BLOCK_REASONS.get(reason, reasons.BLOCK_REASONS["OTHER"]), reason)


def _without_picture(candidate: Mapping[str, object], text: str) -> UpstreamFailure:
    reason = text_at(candidate, "finishReason")
    if reason in reasons.FINISH_CONTENT:
        return content(reasons.FINISH_CONTENT[reason], reason)
    if reason == "STOP" and text and reads_as_refusal(text):
        return content(f"The model refused: {text[:_LONGEST_TEXT]}", "REFUSED_IN_WORDS")
    if reason == "STOP" and text:
        return upstream(f"The model answered with words only: {text[:_LONGEST_TEXT]}", "TEXT_ONLY")
    return upstream("The upstream answered without a picture.", reason or "NO_FINISH_REASON")


def _usage_of(usage: Mapping[str, object]) -> UsageCount:
    by_modality = {
        text_at(detail, "modality"): int_at(detail, "tokenCount") or 0
        for detail in objects_at(usage, "promptTokensDetails")
    }
    output = (int_at(usage, "candidatesTokenCount") or 0) + (int_at(usage, "thoughtsTokenCount") or 0)
    return UsageCount(
        input_tokens=int_at(usage, "promptTokenCount") or 0,
        input_text_tokens=by_modality.get("TEXT", 0),
        input_image_tokens=by_modality.get("IMAGE", 0),
        output_tokens=output,
    )
