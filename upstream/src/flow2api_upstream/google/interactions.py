"""Clips by ``interactions``: created in the background, looked at, read. snake_case, unlike the rest of the API.

Source: docs/upstream/google-official.md, section 6.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from urllib.parse import quote

from flow2api_upstream.base64_text import encode_image
from flow2api_upstream.google import reasons
from flow2api_upstream.google.calls import GoogleCalls
from flow2api_upstream.google.classify import Scope, content, failure_of_error, reads_as_refusal, upstream
from flow2api_upstream.google.handles import GoogleMedia, GoogleOperation
from flow2api_upstream.google.inputs import uploaded_uri
from flow2api_upstream.http import HttpRequest
from flow2api_upstream.json_reading import first_text, int_at, object_at, objects_at, text_at
from flow2api_upstream.port import (
    Account,
    FailureClass,
    OperationHandle,
    OperationState,
    OperationStatus,
    UploadedImage,
    UpstreamFailure,
    UsageCount,
    VideoCall,
    VideoKind,
    VideoSubmission,
)
from flow2api_upstream.prompts import prompt_text

SCHEMA = {"api-revision": "2026-05-20"}
"""Pins the answers with ``steps``."""

_MAX_SEED = 2**31 - 1


@dataclass(frozen=True, slots=True)
class KindRule:
    """How one kind is asked for, and how many pictures it takes."""

    task: str
    min_images: int
    max_images: int


KINDS: Mapping[VideoKind, KindRule] = MappingProxyType(
    {
        VideoKind.TEXT: KindRule("text_to_video", 0, 0),
        VideoKind.FIRST_FRAME: KindRule("image_to_video", 1, 1),
        VideoKind.FIRST_AND_LAST_FRAME: KindRule("image_to_video", 2, 2),
        VideoKind.REFERENCES: KindRule("reference_to_video", 1, 6),
        VideoKind.EXTEND: KindRule("extend", 0, 0),
    }
)


async def submit_video(calls: GoogleCalls, account: Account, call: VideoCall, *, bucket: str = "") -> VideoSubmission:
    """Create an interaction in the background. ``bucket``: where Vertex shall put the clip; without one it comes in
    the answer there."""
    has_media = call.source is not None or any(image.handle for image in call.images)
    answer = await calls.call(
        account,
        "POST",
        calls.api.interactions_url(account),
        video_body(calls.api.provider, call, bucket=bucket),
        scope=Scope.GENERATION_WITH_MEDIA if has_media else calls.api.generation_scope,
        timeout=calls.settings.video_submit_timeout,
        paid=True,
        headers=SCHEMA,
    )
    interaction = text_at(answer, "id")
    if not interaction:
        raise upstream("The upstream's answer names no interaction.", "malformed_answer", paid=True)
    handle = GoogleOperation(interaction=interaction).handle(calls.api.provider)
    return VideoSubmission(operation=handle, operation_name=interaction)


def video_body(provider: str, call: VideoCall, *, bucket: str = "") -> dict[str, object]:
    """The body of a creation. Raises BAD_INPUT for what the kind cannot take."""
    rule = KINDS.get(call.kind)
    if rule is None or not rule.min_images <= len(call.images) <= rule.max_images:
        raise UpstreamFailure(
            FailureClass.BAD_INPUT, f"This model makes no clip like this: {call.kind}.", reason="video_kind"
        )
    parts: list[dict[str, object]] = []
    prompt = prompt_text(call.prompt, call.negative_prompt)
    if prompt:
        parts.append({"type": "text", "text": prompt})
    parts += [_picture(provider, image) for image in call.images]
    body: dict[str, object] = {
        "model": call.upstream_model,
        "input": [{"type": "user_input", "content": parts}],
        "response_format": {
            "type": "video",
            "aspect_ratio": call.aspect_ratio,
            "duration": f"{call.duration_seconds}s",
            "resolution": call.resolution,
            **_delivery(provider, bucket),
        },
        "generation_config": {
            "seed": call.seed % (_MAX_SEED + 1),
            "video_config": {"task": rule.task},
        },
        "background": True,
        "store": True,
    }
    if call.kind is VideoKind.EXTEND:
        source = GoogleMedia.read(provider, call.source).interaction if call.source else ""
        if not source:
            raise UpstreamFailure(
                FailureClass.BAD_INPUT, "An extension needs a clip that this model has made.", reason="source"
            )
        body["previous_interaction_id"] = source
    return body


def _delivery(provider: str, bucket: str) -> dict[str, object]:
    if provider == "gemini":
        return {"delivery": "uri"}
    return {"delivery": "uri", "gcs_uri": bucket} if bucket else {"delivery": "inline"}


def _picture(provider: str, image: UploadedImage) -> dict[str, object]:
    if image.inline is not None:
        return {"type": "image", "mime_type": image.inline.mime_type, "data": encode_image(image.inline)}
    media = uploaded_uri(provider, image)
    return {"type": "image", "mime_type": media.mime_type, "uri": media.uri}


async def read_interaction(calls: GoogleCalls, account: Account, interaction: str) -> Mapping[str, object]:
    """The interaction as it stands, a clip inside it cut short."""
    return await calls.short_answer(interaction_request(calls, account, interaction), scope=Scope.STATUS)


def interaction_request(calls: GoogleCalls, account: Account, interaction: str) -> HttpRequest:
    """How an interaction is read."""
    url = f"{calls.api.interactions_url(account)}/{quote(interaction, safe='')}"
    return calls.request(account, "GET", url, headers=SCHEMA)


def status_of(calls: GoogleCalls, handle: OperationHandle, answer: Mapping[str, object]) -> OperationStatus:
    """What an interaction's answer says. Unknown words are PENDING: the job's own deadline ends them."""
    match text_at(answer, "status"):
        case "completed":
            return _completed(calls.api.provider, handle, answer)
        case "failed":
            failure = _failure_of(calls, answer)
        case "in_progress":
            return OperationStatus(handle, OperationState.ACTIVE)
        case "cancelled" | "incomplete" | "budget_exceeded" | "requires_action" | "requires_continuation" as word:
            failure = upstream(f"The upstream ended the generation as {word.replace('_', ' ')}.", word)
        case _:
            return OperationStatus(handle, OperationState.PENDING)
    return OperationStatus(handle, OperationState.FAILED, failure=failure)


def outputs_of(answer: Mapping[str, object]) -> list[Mapping[str, object]]:
    """Every piece of content that the model put out."""
    return [
        piece
        for step in objects_at(answer, "steps")
        if text_at(step, "type") == "model_output"
        for piece in objects_at(step, "content")
    ]


def videos_of(answer: Mapping[str, object]) -> list[Mapping[str, object]]:
    """The clips among them."""
    return [
        piece
        for piece in outputs_of(answer)
        if text_at(piece, "type") == "video" and first_text(text_at(piece, "uri"), text_at(piece, "data"))
    ]


def _completed(provider: str, handle: OperationHandle, answer: Mapping[str, object]) -> OperationStatus:
    videos = videos_of(answer)
    if videos:
        media = GoogleMedia(
            interaction=GoogleOperation.read(provider, handle).interaction, uri=text_at(videos[-1], "uri")
        )
        return OperationStatus(
            handle, OperationState.SUCCEEDED, media=media.handle(provider), progress=1.0, usage=_usage_of(answer)
        )
    text = " ".join(text_at(piece, "text") for piece in outputs_of(answer)).strip()
    failure = (
        content(f"The model refused: {text[:500]}", "REFUSED_IN_WORDS")
        if reads_as_refusal(text)
        else upstream("The upstream finished without a clip.", "no_video")
    )
    return OperationStatus(handle, OperationState.FAILED, failure=failure)


def _usage_of(answer: Mapping[str, object]) -> UsageCount | None:
    usage = object_at(answer, "usage")
    input_tokens, output_tokens = int_at(usage, "total_input_tokens"), int_at(usage, "total_output_tokens")
    if input_tokens is None and output_tokens is None:
        return None
    by_modality: dict[str, int] = {}
    for part in objects_at(usage, "input_tokens_by_modality"):
        modality = text_at(part, "modality").lower()
        by_modality[modality] = by_modality.get(modality, 0) + (int_at(part, "tokens") or 0)
    return UsageCount(
        input_tokens=input_tokens or 0,
        input_text_tokens=by_modality.get("text", 0),
        input_image_tokens=by_modality.get("image", 0),
        input_video_tokens=by_modality.get("video", 0),
        output_tokens=output_tokens or 0,
        thought_tokens=int_at(usage, "total_thought_tokens") or 0,
    )


def _failure_of(calls: GoogleCalls, answer: Mapping[str, object]) -> UpstreamFailure:
    errors = [*objects_at(answer, "errors"), *objects_at(answer, "error")]
    errors += [error for step in objects_at(answer, "steps") if (error := object_at(step, "error"))]
    if not errors:
        return upstream("The upstream failed.", "failed")
    by_content = (error for error in errors if text_at(error, "code").lower() in reasons.INTERACTION_CONTENT)
    error = next(by_content, errors[0])
    number = int_at(error, "code")
    scope = Scope.STATUS if number is None else calls.api.generation_scope
    return failure_of_error(error, scope=scope, now=calls.clock())
