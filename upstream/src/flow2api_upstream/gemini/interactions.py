"""Clips by ``interactions``: created in the background, looked at, read. snake_case, unlike the rest of the API.

Source: docs/upstream/google-official.md, section 6.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from urllib.parse import quote

from flow2api_upstream.base64_text import encode_image
from flow2api_upstream.gemini import reasons
from flow2api_upstream.gemini.calls import GeminiCalls
from flow2api_upstream.gemini.classify import Scope, content, failure_of_error, reads_as_refusal, upstream
from flow2api_upstream.gemini.handles import GeminiMedia, interaction_of, operation_handle
from flow2api_upstream.gemini.images import inline_images
from flow2api_upstream.json_reading import first_text, int_at, object_at, objects_at, text_at
from flow2api_upstream.port import (
    Account,
    FailureClass,
    OperationHandle,
    OperationState,
    OperationStatus,
    UpstreamFailure,
    UsageCount,
    VideoCall,
    VideoKind,
    VideoSubmission,
)
from flow2api_upstream.prompts import prompt_text

PATH = "/v1beta/interactions"
SCHEMA = {"api-revision": "2026-05-20"}
"""Pins the answers with ``steps``."""

MAX_OPERATIONS_PER_CHECK = 10
"""Our choice: each look is a call of its own, so these run at the same time."""

_MAX_SEED = 2**31 - 1
_OF_ONE_OPERATION = frozenset({FailureClass.UPSTREAM, FailureClass.BAD_INPUT, FailureClass.CONTENT})


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


async def submit_video(calls: GeminiCalls, account: Account, call: VideoCall) -> VideoSubmission:
    """Create an interaction in the background."""
    answer = await calls.call(
        account,
        "POST",
        PATH,
        await video_body(call),
        scope=Scope.GENERATION_WITH_MEDIA if call.source else Scope.GENERATION,
        timeout=calls.settings.video_submit_timeout,
        paid=True,
        headers=SCHEMA,
    )
    interaction = text_at(answer, "id")
    if not interaction:
        raise upstream("The upstream's answer names no interaction.", "malformed_answer", paid=True)
    return VideoSubmission(operation=operation_handle(interaction), operation_name=interaction)


async def video_body(call: VideoCall) -> dict[str, object]:
    """The body of a creation. Raises BAD_INPUT for what the kind cannot take."""
    rule = KINDS.get(call.kind)
    if rule is None or not rule.min_images <= len(call.images) <= rule.max_images:
        raise UpstreamFailure(
            FailureClass.BAD_INPUT, f"The Gemini API makes no clip like this: {call.kind}.", reason="video_kind"
        )
    parts: list[dict[str, object]] = []
    prompt = prompt_text(call.prompt, call.negative_prompt)
    if prompt:
        parts.append({"type": "text", "text": prompt})
    parts += [
        {"type": "image", "mime_type": image.mime_type, "data": await encode_image(image)}
        for image in inline_images(call.images)
    ]
    body: dict[str, object] = {
        "model": call.upstream_model,
        "input": [{"type": "user_input", "content": parts}],
        "response_format": {
            "type": "video",
            "aspect_ratio": call.aspect_ratio,
            "duration": f"{call.duration_seconds}s",
            "resolution": call.resolution,
            "delivery": "uri",
        },
        "generation_config": {
            "seed": call.seed % (_MAX_SEED + 1),
            "video_config": {"task": rule.task},
        },
        "background": True,
        "store": True,
    }
    if call.kind is VideoKind.EXTEND:
        source = GeminiMedia.read(call.source).interaction if call.source else ""
        if not source:
            raise UpstreamFailure(FailureClass.BAD_INPUT, "An extension needs a source clip.", reason="source")
        body["previous_interaction_id"] = source
    return body


async def check_videos(
    calls: GeminiCalls, account: Account, handles: Sequence[OperationHandle]
) -> dict[OperationHandle, OperationStatus]:
    """One look at each, all at the same time. What concerns the account as a whole is raised.

    An interaction that cannot be read although others can is MISSING in this look.
    """
    limit = asyncio.Semaphore(MAX_OPERATIONS_PER_CHECK)

    async def look(handle: OperationHandle) -> OperationStatus | UpstreamFailure:
        async with limit:
            try:
                return await _check(calls, account, handle)
            except UpstreamFailure as failure:
                return failure

    looks = dict(zip(handles, await asyncio.gather(*(look(handle) for handle in handles)), strict=True))
    failures = [outcome for outcome in looks.values() if isinstance(outcome, UpstreamFailure)]
    for failure in failures:
        if failure.failure_class not in _OF_ONE_OPERATION or len(failures) == len(looks):
            raise failure
    return {
        handle: OperationStatus(handle, OperationState.MISSING) if isinstance(outcome, UpstreamFailure) else outcome
        for handle, outcome in looks.items()
    }


async def _check(calls: GeminiCalls, account: Account, handle: OperationHandle) -> OperationStatus:
    try:
        answer = await read_interaction(calls, account, interaction_of(handle))
    except UpstreamFailure as failure:
        if failure.http_status == 404:
            # Who follows it decides when it is lost. Nothing says that its price is given back then.
            return OperationStatus(handle, OperationState.MISSING)
        raise
    return status_of(calls, handle, answer)


async def read_interaction(calls: GeminiCalls, account: Account, interaction: str) -> Mapping[str, object]:
    """The interaction as it stands."""
    path = f"{PATH}/{quote(interaction, safe='')}"
    return await calls.call(account, "GET", path, scope=Scope.STATUS, headers=SCHEMA)


def status_of(calls: GeminiCalls, handle: OperationHandle, answer: Mapping[str, object]) -> OperationStatus:
    """What an interaction's answer says. Unknown words are PENDING: the job's own deadline ends them."""
    match text_at(answer, "status"):
        case "completed":
            return _completed(handle, answer)
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


def _completed(handle: OperationHandle, answer: Mapping[str, object]) -> OperationStatus:
    videos = videos_of(answer)
    if videos:
        media = GeminiMedia(interaction_of(handle), text_at(videos[-1], "uri"))
        return OperationStatus(
            handle, OperationState.SUCCEEDED, media=media.handle(), progress=1.0, usage=_usage_of(answer)
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
    return UsageCount(input_tokens=input_tokens or 0, output_tokens=output_tokens or 0)


def _failure_of(calls: GeminiCalls, answer: Mapping[str, object]) -> UpstreamFailure:
    errors = [*objects_at(answer, "errors"), *objects_at(answer, "error")]
    errors += [error for step in objects_at(answer, "steps") if (error := object_at(step, "error"))]
    if not errors:
        return upstream("The upstream failed.", "failed")
    by_content = (error for error in errors if text_at(error, "code").lower() in reasons.INTERACTION_CONTENT)
    error = next(by_content, errors[0])
    number = int_at(error, "code")
    scope = Scope.STATUS if number is None else Scope.GENERATION
    return failure_of_error(error, scope=scope, now=calls.clock())
