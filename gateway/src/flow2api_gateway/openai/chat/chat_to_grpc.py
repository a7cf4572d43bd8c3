"""A chat request as a request of the generation-service.

Source: docs/upstream/openai.md, section 6; docs/upstream/flow.md, section 14.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from flow2api_common.errors import InvalidArgument
from flow2api_gateway.openai.chat.conversation import Conversation
from flow2api_gateway.openai.chat.schemas import ChatCompletionRequest, MediaExtensions
from flow2api_gateway.openai.options import (
    PixelSize,
    check_seed,
    exact_resolution,
    image_step_of,
    nearest_resolution,
    parse_aspect_ratio,
    parse_count,
    parse_quality,
    parse_resolution,
    parse_seconds,
    parse_size,
    video_step_of,
)
from flow2api_proto.generation.v1 import image_pb2, media_pb2, model_pb2, video_pb2

CHAT_FIELDS: Final[Mapping[str, str]] = {
    "model_id": "model",
    "prompt": "messages",
    "input_images": "messages",
    "image_count": "n",
    "duration_seconds": "seconds",
    "source_video_id": "messages",
    "request_id": "Idempotency-Key",
}
"""Fields of our gRPC requests by the names that chat clients know."""


@dataclass(frozen=True, slots=True)
class MediaOptions:
    """The extensions of a chat request, read and checked."""

    size: PixelSize | None
    aspect_ratio: str
    seconds: int
    quality_step: str
    resolution: str
    resolution_param: str
    negative_prompt: str


def read_options(request: ChatCompletionRequest, model: model_pb2.Model) -> MediaOptions:
    """Read the extensions; the top level wins over ``extra_body``, both over Gemini's form. Raises InvalidArgument."""
    layers = [request, *([request.extra_body] if request.extra_body else [])]
    gemini = [_image_config(layer) for layer in layers]
    image_size = _first(layers, "image_size") or _first_of(gemini, "imageSize", "image_size")
    named = _first(layers, "resolution")
    resolution_param = "resolution" if image_size is None else "image_size"
    return MediaOptions(
        size=parse_size(_first(layers, "size")),
        aspect_ratio=parse_aspect_ratio(
            _first(layers, "aspect_ratio") or _first_of(gemini, "aspectRatio", "aspect_ratio")
        ),
        seconds=parse_seconds(_first(layers, "seconds"), model.durations_seconds),
        quality_step=parse_quality(_first(layers, "quality")),
        resolution=parse_resolution(image_size if image_size is not None else named, param=resolution_param),
        resolution_param=resolution_param,
        negative_prompt=_first(layers, "negative_prompt") or "",
    )


def image_request(
    request: ChatCompletionRequest,
    conversation: Conversation,
    model: model_pb2.Model,
    pictures: Sequence[media_pb2.InputImage],
    *,
    api_key_id: str,
    request_id: str,
) -> image_pb2.GenerateImageRequest:
    """The request for pictures. Raises InvalidArgument naming the client's field."""
    options = read_options(request, model)
    if options.resolution:
        resolution = exact_resolution(options.resolution, model.resolutions, param=options.resolution_param)
    else:
        step = options.quality_step or image_step_of(options.size)
        resolution = nearest_resolution(step, model.resolutions)
    return image_pb2.GenerateImageRequest(
        model_id=request.model,
        prompt=conversation.prompt,
        input_images=pictures,
        aspect_ratio=options.aspect_ratio,
        size=options.size.to_proto() if options.size else None,
        resolution=resolution,
        seed=request.seed,
        image_count=parse_count(request.n),
        api_key_id=api_key_id,
        request_id=request_id,
    )


def video_request(
    request: ChatCompletionRequest,
    conversation: Conversation,
    model: model_pb2.Model,
    pictures: Sequence[media_pb2.InputImage],
    *,
    api_key_id: str,
    request_id: str,
) -> video_pb2.CreateVideoRequest:
    """The request for a clip. Raises InvalidArgument naming the client's field."""
    options = read_options(request, model)
    if options.resolution:
        resolution = exact_resolution(options.resolution, model.resolutions, param=options.resolution_param)
    else:
        resolution = nearest_resolution(video_step_of(options.size), model.resolutions)
    return video_pb2.CreateVideoRequest(
        model_id=request.model,
        prompt=conversation.prompt,
        input_images=pictures,
        aspect_ratio=options.aspect_ratio,
        size=options.size.to_proto() if options.size else None,
        resolution=resolution,
        duration_seconds=options.seconds,
        seed=request.seed,
        negative_prompt=options.negative_prompt,
        source_video_id=conversation.source_clip_id,
        api_key_id=api_key_id,
        request_id=request_id,
    )


def check_values(request: ChatCompletionRequest, conversation: Conversation, model: model_pb2.Model) -> None:
    """Everything about the values that needs no picture to be fetched. Raises InvalidArgument."""
    read_options(request, model)
    is_video = model.modality == model_pb2.MODALITY_VIDEO
    parse_count(request.n, most=1 if is_video else 10)
    check_seed(request.seed)
    if conversation.source_clip_id and not is_video:
        raise InvalidArgument.of(
            conversation.source_clip_param, f"The model '{request.model[:100]}' makes pictures: it continues no clip."
        )
    if not conversation.prompt and not (conversation.pictures and not is_video):
        raise InvalidArgument.of("messages", "The last message has no text to generate from.")
    if len(conversation.pictures) > model.max_input_images:
        raise InvalidArgument.of(
            "messages",
            f"The model '{request.model[:100]}' takes at most {model.max_input_images} pictures, "
            f"{len(conversation.pictures)} were given.",
        )


def _first(layers: Sequence[MediaExtensions], name: str) -> Any:
    return next((value for layer in layers if (value := getattr(layer, name)) is not None), None)


def _first_of(configs: Sequence[Mapping[str, Any]], *names: str) -> str | None:
    for config in configs:
        for name in names:
            value = config.get(name)
            if value is None:
                continue
            if not isinstance(value, str):
                path = f"generationConfig.imageConfig.{name}"
                raise InvalidArgument.of(path, f"Invalid type for '{path}': expected a string.", reason="INVALID_TYPE")
            return value
    return None


def _image_config(layer: MediaExtensions) -> Mapping[str, Any]:
    config = layer.generationConfig or {}
    inner = config.get("imageConfig", config.get("image_config"))
    return inner if isinstance(inner, dict) else {}
