"""Clips of Veo by ``predictLongRunning``. Source: docs/upstream/google-official.md, section 8."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from flow2api_upstream.base64_text import encode_image
from flow2api_upstream.google.calls import GoogleCalls
from flow2api_upstream.google.classify import Scope, upstream
from flow2api_upstream.google.handles import GoogleOperation
from flow2api_upstream.json_reading import text_at
from flow2api_upstream.port import (
    Account,
    FailureClass,
    UploadedImage,
    UpstreamFailure,
    VideoCall,
    VideoKind,
    VideoSubmission,
)

MODEL_PREFIX = "veo-"
KINDS: Mapping[VideoKind, tuple[int, int]] = MappingProxyType(
    {
        VideoKind.TEXT: (0, 0),
        VideoKind.FIRST_FRAME: (1, 1),
        VideoKind.FIRST_AND_LAST_FRAME: (2, 2),
        VideoKind.REFERENCES: (1, 3),
        VideoKind.EXTEND: (0, 0),
    }
)
"""The fewest and the most pictures of each kind."""

_MAX_SEED = 2**32 - 1


@dataclass(frozen=True, slots=True)
class VeoExtras:
    """What the two APIs write differently: the clip to extend, and parameters that one of them alone has."""

    source: Mapping[str, str] | None = None
    parameters: Mapping[str, object] = field(default_factory=dict)


def is_veo(upstream_model: str) -> bool:
    """Whether a model makes its clips by this call; others do by interactions."""
    return upstream_model.startswith(MODEL_PREFIX)


async def submit_video(calls: GoogleCalls, account: Account, call: VideoCall, extras: VeoExtras) -> VideoSubmission:
    """Hand in one clip."""
    answer = await calls.call(
        account,
        "POST",
        calls.api.model_url(account, call.upstream_model, "predictLongRunning"),
        clip_body(call, extras),
        scope=Scope.GENERATION_WITH_MEDIA if call.source else calls.api.generation_scope,
        timeout=calls.settings.video_submit_timeout,
        paid=True,
    )
    name = text_at(answer, "name")
    if "/operations/" not in name:
        raise upstream("The upstream's answer names no operation.", "malformed_answer", paid=True)
    return VideoSubmission(operation=GoogleOperation(operation=name).handle(calls.api.provider), operation_name=name)


def clip_body(call: VideoCall, extras: VeoExtras) -> dict[str, object]:
    """The body of ``predictLongRunning``. Raises BAD_INPUT for what the kind cannot take."""
    fewest, most = KINDS.get(call.kind, (1, 0))
    if not fewest <= len(call.images) <= most:
        raise UpstreamFailure(FailureClass.BAD_INPUT, f"Veo makes no clip like this: {call.kind}.", reason="video_kind")
    instance: dict[str, object] = {"prompt": call.prompt} if call.prompt else {}
    images = [_picture(image) for image in call.images]
    match call.kind:
        case VideoKind.FIRST_FRAME:
            instance["image"] = images[0]
        case VideoKind.FIRST_AND_LAST_FRAME:
            instance["image"], instance["lastFrame"] = images
        case VideoKind.REFERENCES:
            instance["referenceImages"] = [{"image": image, "referenceType": "ASSET"} for image in images]
        case VideoKind.EXTEND:
            if extras.source is None:
                raise no_source()
            instance["video"] = extras.source
        case _:
            pass
    parameters: dict[str, object] = {
        "sampleCount": 1,
        "durationSeconds": call.duration_seconds,
        "aspectRatio": call.aspect_ratio,
        "resolution": call.resolution,
        **extras.parameters,
    }
    if call.negative_prompt:
        parameters["negativePrompt"] = call.negative_prompt
    if call.person_generation:
        parameters["personGeneration"] = call.person_generation
    return {"instances": [instance], "parameters": parameters}


def veo_seed(seed: int) -> int:
    """The seed within what Veo takes."""
    return seed % (_MAX_SEED + 1)


def no_source() -> UpstreamFailure:
    """An extension of nothing, or of what Veo cannot extend."""
    return UpstreamFailure(FailureClass.BAD_INPUT, "An extension needs a clip that Veo has made.", reason="source")


def _picture(image: UploadedImage) -> dict[str, object]:
    if image.inline is None:
        raise UpstreamFailure(FailureClass.BAD_INPUT, "Veo needs the picture itself.", reason="image_missing")
    return {"bytesBase64Encoded": encode_image(image.inline), "mimeType": image.inline.mime_type}
