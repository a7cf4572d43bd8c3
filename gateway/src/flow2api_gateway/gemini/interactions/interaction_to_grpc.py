"""A new interaction as a request of the generation-service.

Source: docs/upstream/google-official.md, section 6.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from flow2api_common.errors import InvalidArgument
from flow2api_gateway.gemini.interactions.inputs import InteractionOrder
from flow2api_gateway.gemini.interactions.schemas import (
    CreateInteractionRequest,
    InteractionConfig,
    ResponseFormat,
    VideoConfig,
)
from flow2api_gateway.generation.pictures import PictureSource
from flow2api_gateway.openai.options import exact_resolution, parse_aspect_ratio, parse_seconds
from flow2api_proto.generation.v1 import image_pb2, media_pb2, model_pb2, video_pb2

INTERACTION_FIELDS: Final[Mapping[str, str]] = {
    "model_id": "model",
    "prompt": "input",
    "input_images": "input",
    "source_video_id": "previous_interaction_id",
    "aspect_ratio": "response_format.aspect_ratio",
    "resolution": "response_format.resolution",
    "image_size": "response_format.image_size",
    "seconds": "response_format.duration",
    "duration_seconds": "response_format.duration",
    "seed": "generation_config.seed",
    "request_id": "Idempotency-Key",
}
"""Fields of our gRPC requests by the names that clients of interactions know."""

_KINDS: Final = {model_pb2.MODALITY_IMAGE: "image", model_pb2.MODALITY_VIDEO: "video"}
_FORMATS: Final = {"image/png": "png", "image/jpeg": "jpeg", "image/webp": "webp"}
_UNSAID_RATIO: Final = "1:1"
_FRAMES: Final = (media_pb2.INPUT_IMAGE_ROLE_FIRST_FRAME, media_pb2.INPUT_IMAGE_ROLE_LAST_FRAME)


@dataclass(frozen=True, slots=True)
class InteractionForm:
    """What the result shall be, checked."""

    wanted: ResponseFormat
    by_uri: bool
    image_format: str


def interaction_form(request: CreateInteractionRequest, model: model_pb2.Model) -> InteractionForm:
    """Read ``response_format``. Raises InvalidArgument naming the field."""
    kind = _KINDS.get(model.modality, "")
    formats = request.response_format if isinstance(request.response_format, list) else [request.response_format]
    given = next((each for each in formats if each is not None and each.type != "text"), None)
    wanted = given or ResponseFormat(type=kind)
    if wanted.type != kind:
        raise InvalidArgument.of("response_format.type", f"The model makes results of the type '{kind}'.")
    if (wanted.delivery or "inline") not in ("inline", "uri"):
        raise InvalidArgument.of("response_format.delivery", "'delivery' must be 'inline' or 'uri'.")
    if wanted.gcs_uri:
        raise InvalidArgument.of(
            "response_format.gcs_uri",
            "Results are not written into buckets: leave out 'gcs_uri', and a 'uri' leads to a file that is kept here.",
        )
    image_format = ""
    if kind == "image" and wanted.mime_type:
        image_format = _FORMATS.get(wanted.mime_type.lower(), "")
        if not image_format:
            raise InvalidArgument.of("response_format.mime_type", f"'mime_type' must be one of {', '.join(_FORMATS)}.")
    return InteractionForm(wanted=wanted, by_uri=wanted.delivery == "uri", image_format=image_format)


def interaction_sources(
    request: CreateInteractionRequest, order: InteractionOrder, model: model_pb2.Model
) -> list[PictureSource]:
    """The pictures with what each is for. Raises InvalidArgument on the task or on too many pictures."""
    if model.modality == model_pb2.MODALITY_IMAGE:
        if order.source_video_id:
            raise InvalidArgument.of("previous_interaction_id", "The model makes pictures: it goes on from no clip.")
        sources = order.pictures_for(model.max_input_images)
    else:
        sources = _with_roles(order.pictures_for(model.max_input_images), _task(request, order))
    if len(sources) > model.max_input_images:
        raise InvalidArgument.of(
            "input", f"The model takes at most {model.max_input_images} pictures, {len(sources)} were given."
        )
    return sources


def picture_request(
    request: CreateInteractionRequest,
    order: InteractionOrder,
    form: InteractionForm,
    model: model_pb2.Model,
    pictures: Sequence[media_pb2.InputImage],
    *,
    picture_count: int,
) -> image_pb2.GenerateImageRequest:
    """The request for a picture, without the caller. Raises InvalidArgument."""
    ratio = parse_aspect_ratio(form.wanted.aspect_ratio)
    if not ratio and not picture_count and _UNSAID_RATIO in model.aspect_ratios:
        ratio = _UNSAID_RATIO
    return image_pb2.GenerateImageRequest(
        model_id=model.model_id,
        prompt=order.prompt,
        input_images=pictures,
        aspect_ratio=ratio,
        resolution=exact_resolution((form.wanted.image_size or "")[:20], model.resolutions, param="image_size"),
        seed=_seed(request),
        image_count=1,
    )


def clip_request(
    request: CreateInteractionRequest,
    order: InteractionOrder,
    form: InteractionForm,
    model: model_pb2.Model,
    pictures: Sequence[media_pb2.InputImage],
) -> video_pb2.CreateVideoRequest:
    """The request for a clip, without the caller. Raises InvalidArgument."""
    wanted = form.wanted
    return video_pb2.CreateVideoRequest(
        model_id=model.model_id,
        prompt=order.prompt,
        input_images=pictures,
        aspect_ratio=parse_aspect_ratio(wanted.aspect_ratio),
        resolution=exact_resolution((wanted.resolution or "")[:20], model.resolutions, param="resolution"),
        duration_seconds=parse_seconds((wanted.duration or "").removesuffix("s")),
        seed=_seed(request),
        source_video_id=order.source_video_id,
    )


def _config(request: CreateInteractionRequest) -> InteractionConfig:
    return request.generation_config or InteractionConfig()


def _seed(request: CreateInteractionRequest) -> int | None:
    seed = _config(request).seed
    if seed is not None and not -(2**31) <= seed < 2**31:
        raise InvalidArgument.of("seed", "The seed must be a 32-bit integer.")
    return seed


def _task(request: CreateInteractionRequest, order: InteractionOrder) -> str:
    task = (_config(request).video_config or VideoConfig()).task or ""
    count = len(order.pictures)
    fits = {
        "": True,
        "text_to_video": count == 0 and not order.source_video_id,
        "image_to_video": 1 <= count <= len(_FRAMES),
        "reference_to_video": count >= 1,
        "extend": bool(order.source_video_id),
    }
    param = "generation_config.video_config.task"
    if task not in fits:
        known = ", ".join(word for word in fits if word)
        raise InvalidArgument.of(param, f"The task '{task[:40]}' is not supported. Supported are: {known}.")
    if not fits[task]:
        raise InvalidArgument.of(param, f"The input does not fit the task '{task}'.")
    return task


def _with_roles(sources: Sequence[PictureSource], task: str) -> list[PictureSource]:
    if task == "image_to_video":
        return [replace(source, role=role) for source, role in zip(sources, _FRAMES, strict=False)]
    if task == "reference_to_video":
        return [replace(source, role=media_pb2.INPUT_IMAGE_ROLE_REFERENCE) for source in sources]
    return list(sources)
