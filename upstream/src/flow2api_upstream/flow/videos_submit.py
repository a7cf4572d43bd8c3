"""Clips handed in: one call per kind. Source: docs/upstream/flow.md, sections 8 and 11."""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from flow2api_upstream.flow.calls import FlowCalls, bad_input, client_context, seed_within
from flow2api_upstream.flow.classify import Scope, malformed
from flow2api_upstream.flow.handles import FlowMedia, FlowOperation, in_project_of
from flow2api_upstream.flow.images import media_names
from flow2api_upstream.flow.projects import of_missing
from flow2api_upstream.flow.wire import operations_of
from flow2api_upstream.json_reading import int_at
from flow2api_upstream.port import Account, UpstreamFailure, VideoCall, VideoKind, VideoSubmission
from flow2api_upstream.prompts import prompt_text

_MAX_SEED = 99_999
ASPECT_RATIOS: Mapping[str, str] = MappingProxyType(
    {"16:9": "VIDEO_ASPECT_RATIO_LANDSCAPE", "9:16": "VIDEO_ASPECT_RATIO_PORTRAIT"}
)
UPSCALE_RESOLUTIONS: Mapping[str, str] = MappingProxyType(
    {"1080p": "VIDEO_RESOLUTION_1080P", "4k": "VIDEO_RESOLUTION_4K"}
)


@dataclass(frozen=True, slots=True)
class KindRule:
    """How one kind is called, and how many pictures it takes."""

    path: str
    min_images: int
    max_images: int
    has_source: bool = False


KINDS: Mapping[VideoKind, KindRule] = MappingProxyType(
    {
        VideoKind.TEXT: KindRule("/video:batchAsyncGenerateVideoText", 0, 0),
        VideoKind.FIRST_FRAME: KindRule("/video:batchAsyncGenerateVideoStartImage", 1, 1),
        VideoKind.FIRST_AND_LAST_FRAME: KindRule("/video:batchAsyncGenerateVideoStartAndEndImage", 2, 2),
        VideoKind.REFERENCES: KindRule("/video:batchAsyncGenerateVideoReferenceImages", 1, 7),
        VideoKind.EXTEND: KindRule("/video:batchAsyncGenerateVideoExtendVideo", 0, 0, has_source=True),
        VideoKind.UPSCALE: KindRule("/video:batchAsyncGenerateVideoUpsampleVideo", 0, 0, has_source=True),
    }
)


async def submit_video(calls: FlowCalls, account: Account, call: VideoCall) -> VideoSubmission:
    """Hand in one clip. Not to be repeated when the failure says that it may have been accepted."""
    rule = KINDS[call.kind]
    account = in_project_of(account, [call.source, *(image.handle for image in call.images)])
    try:
        answer = await calls.api(
            account,
            "POST",
            rule.path,
            video_body(account, call),
            scope=_scope_of(call, rule),
            timeout=calls.settings.video_submit_timeout,
            paid=True,
        )
    except UpstreamFailure as failure:
        raise await of_missing(calls, account, failure) from failure.__cause__
    return submission_of(answer, account.project_id)


def submission_of(answer: Mapping[str, object], project_id: str) -> VideoSubmission:
    """The accepted clip of an answer in the current form, the old one, or both."""
    operations = operations_of(answer, project_id)
    if not operations:
        raise malformed("it names no operation", paid=True)
    operation: FlowOperation = operations[0]
    return VideoSubmission(
        operation=operation.handle(),
        operation_name=operation.name or operation.operation,
        remaining_credits=int_at(answer, "remainingCredits"),
    )


def video_body(account: Account, call: VideoCall) -> dict[str, object]:
    """The body of a submission. Raises BAD_INPUT for what the kind cannot take."""
    if call.aspect_ratio not in ASPECT_RATIOS:
        raise bad_input(f"Flow makes no clips of the ratio {call.aspect_ratio}.", "aspect_ratio")
    request: dict[str, object] = {
        "aspectRatio": ASPECT_RATIOS[call.aspect_ratio],
        "seed": seed_within(call.seed, _MAX_SEED),
        "videoModelKey": call.upstream_model,
        "metadata": {},
    }
    if call.kind is not VideoKind.UPSCALE:
        prompt = prompt_text(call.prompt, call.negative_prompt)
        request["textInput"] = {"structuredPrompt": {"parts": [{"text": prompt}]}}
    request |= _members_of_kind(call)
    return {
        "mediaGenerationContext": {
            "batchId": str(uuid.uuid4()),
            "audioFailurePreference": "BLOCK_SILENCED_VIDEOS",
        },
        "clientContext": client_context(account, with_tier=True),
        "useV2ModelConfig": True,
        "requests": [request],
    }


def _members_of_kind(call: VideoCall) -> dict[str, object]:
    rule = KINDS[call.kind]
    if not rule.min_images <= len(call.images) <= rule.max_images:
        raise bad_input(f"A clip of this kind does not take {len(call.images)} pictures.", "image_count")
    names = media_names(call.images)
    match call.kind:
        case VideoKind.TEXT:
            return {}
        case VideoKind.FIRST_FRAME:
            return {"startImage": {"mediaId": names[0]}}
        case VideoKind.FIRST_AND_LAST_FRAME:
            return {"startImage": {"mediaId": names[0]}, "endImage": {"mediaId": names[1]}}
        case VideoKind.REFERENCES:
            usage = "IMAGE_USAGE_TYPE_ASSET"
            return {"referenceImages": [{"imageUsageType": usage, "mediaId": name} for name in names]}
        case VideoKind.EXTEND:
            source = _source_of(call)
            if not source.workflow:
                raise bad_input("This clip cannot be extended: its workflow is not known.", "workflow")
            return {"videoInput": {"mediaId": source.name}, "metadata": {"workflowId": source.workflow}}
        case VideoKind.UPSCALE:
            if call.resolution not in UPSCALE_RESOLUTIONS:
                raise bad_input(f"Flow enlarges clips to 1080p or 4k, not to {call.resolution}.", "resolution")
            return {
                "videoInput": {"mediaId": _source_of(call).name},
                "resolution": UPSCALE_RESOLUTIONS[call.resolution],
                "metadata": {"sceneId": str(uuid.uuid4())},
            }


def _source_of(call: VideoCall) -> FlowMedia:
    source = FlowMedia.read(call.source) if call.source else FlowMedia()
    if not source.name:
        raise bad_input("A clip of this kind needs a source clip.", "source")
    return source


def _scope_of(call: VideoCall, rule: KindRule) -> Scope:
    if call.kind is VideoKind.UPSCALE:
        return Scope.UPSCALE
    return Scope.GENERATION_WITH_MEDIA if call.images or rule.has_source else Scope.GENERATION
