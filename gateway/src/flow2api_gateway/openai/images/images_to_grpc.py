"""A request of the Images API as a request of the generation-service.

Source: docs/upstream/openai.md, section 7.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from flow2api_common.errors import InvalidArgument
from flow2api_gateway.generation.pictures import PictureSource
from flow2api_gateway.media.conversion import PictureFormat
from flow2api_gateway.openai.images.schemas import ImageGenerationRequest
from flow2api_gateway.openai.options import (
    check_seed,
    exact_resolution,
    image_step_of,
    nearest_resolution,
    parse_aspect_ratio,
    parse_count,
    parse_quality,
    parse_resolution,
    parse_size,
)
from flow2api_proto.generation.v1 import image_pb2, media_pb2, model_pb2

IMAGE_FIELDS: Final[Mapping[str, str]] = {
    "model_id": "model",
    "input_images": "image",
    "image_count": "n",
    "request_id": "Idempotency-Key",
    "resolution": "quality",
}
"""Fields of our gRPC requests by the names that clients of the Images API know."""

_MAX_PROMPT: Final = 32_000
_MOST_PARTIAL_IMAGES: Final = 3
_MAX_QUALITY: Final = 32
_OUTPUT_FORMATS: Final = ("png", "jpeg", "webp")
_RESPONSE_FORMATS: Final = ("b64_json", "url")


@dataclass(frozen=True, slots=True)
class ImageAnswerForm:
    """How the pictures are to be answered; ``convert_to`` is nothing when they go out as they are."""

    as_url: bool
    convert_to: PictureFormat | None
    quality: str


def answer_form(request: ImageGenerationRequest) -> ImageAnswerForm:
    """Read the fields about the answer. Raises InvalidArgument naming the field."""
    response_format = _one_of("response_format", request.response_format, _RESPONSE_FORMATS, default="b64_json")
    background = _one_of("background", request.background, ("auto", "opaque", "transparent"), default="auto")
    if background == "transparent":
        raise InvalidArgument.of(
            "background", "Transparent backgrounds are not supported.", reason="UNSUPPORTED_PARAMETER"
        )
    compression = 100 if request.output_compression is None else request.output_compression
    if not 0 <= compression <= 100:
        raise InvalidArgument.of("output_compression", "'output_compression' must be between 0 and 100.")
    if request.partial_images is not None and not 0 <= request.partial_images <= _MOST_PARTIAL_IMAGES:
        raise InvalidArgument.of("partial_images", f"'partial_images' must be between 0 and {_MOST_PARTIAL_IMAGES}.")
    if request.svg:
        raise InvalidArgument.of("svg", "Vector graphics are not made.", reason="UNSUPPORTED_PARAMETER")
    convert_to = None
    if request.output_format is not None:
        name = {"jpg": "jpeg"}.get(request.output_format, request.output_format)
        convert_to = PictureFormat(_one_of("output_format", name, _OUTPUT_FORMATS, default="png"), compression)
    return ImageAnswerForm(
        as_url=response_format == "url", convert_to=convert_to, quality=(request.quality or "auto").lower()
    )


def options_of(form: ImageAnswerForm) -> dict[str, str]:
    """The form as a job remembers it."""
    options = {"response_format": "url" if form.as_url else "b64_json", "quality": form.quality[:_MAX_QUALITY]}
    if form.convert_to is not None:
        options |= {"output_format": form.convert_to.name, "output_compression": str(form.convert_to.quality)}
    return options


def form_of(options: Mapping[str, str]) -> ImageAnswerForm:
    """The form that a job remembers."""
    convert_to = None
    if "output_format" in options:
        convert_to = PictureFormat(options["output_format"], int(options.get("output_compression", "100")))
    return ImageAnswerForm(
        as_url=options.get("response_format") == "url", convert_to=convert_to, quality=options.get("quality", "auto")
    )


def check_image_values(
    request: ImageGenerationRequest, model: model_pb2.Model, *, pictures: Sequence[PictureSource]
) -> None:
    """Everything about the values that needs no picture to be fetched. Raises InvalidArgument naming the field."""
    if model.modality != model_pb2.MODALITY_IMAGE:
        raise InvalidArgument.of("model", f"The model '{request.model[:100]}' does not make pictures.")
    if not request.prompt.strip():
        raise InvalidArgument.of("prompt", "'prompt' must not be empty.")
    if len(request.prompt) > _MAX_PROMPT:
        raise InvalidArgument.of("prompt", f"'prompt' has more than {_MAX_PROMPT} characters.")
    if len(pictures) > model.max_input_images:
        raise InvalidArgument.of(
            re.split(r"[\[.]", pictures[0].param)[0],
            f"The model '{request.model[:100]}' takes at most {model.max_input_images} pictures, "
            f"{len(pictures)} were given.",
        )
    image_request(request, model, (), api_key_id="", request_id="")


def image_request(
    request: ImageGenerationRequest,
    model: model_pb2.Model,
    pictures: Sequence[media_pb2.InputImage],
    *,
    api_key_id: str,
    request_id: str,
) -> image_pb2.GenerateImageRequest:
    """The request for pictures. Raises InvalidArgument naming the client's field."""
    size = parse_size(request.size)
    check_seed(request.seed)
    named = parse_resolution(request.image_size, param="image_size")
    if named:
        resolution = exact_resolution(named, model.resolutions, param="image_size")
    else:
        resolution = nearest_resolution(parse_quality(request.quality) or image_step_of(size), model.resolutions)
    return image_pb2.GenerateImageRequest(
        model_id=request.model,
        prompt=request.prompt,
        input_images=pictures,
        aspect_ratio=parse_aspect_ratio(request.aspect_ratio),
        size=size.to_proto() if size else None,
        resolution=resolution,
        seed=request.seed,
        image_count=parse_count(request.n),
        api_key_id=api_key_id,
        request_id=request_id,
    )


def _one_of(name: str, value: str | None, allowed: Sequence[str], *, default: str) -> str:
    chosen = value if value is not None else default
    if chosen not in allowed:
        raise InvalidArgument.of(name, f"Invalid value '{chosen[:40]}'. Supported values are: {', '.join(allowed)}.")
    return chosen
