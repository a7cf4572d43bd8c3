"""A ``generateContent`` request as a request of the generation-service.

Source: docs/upstream/google-official.md, section 5.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from flow2api_common.errors import InvalidArgument
from flow2api_gateway.gemini.content.conversation import PictureOrder
from flow2api_gateway.gemini.content.schemas import GenerateContentRequest, GenerationConfig, ImageConfig
from flow2api_gateway.media.conversion import PictureFormat
from flow2api_gateway.openai.options import exact_resolution, parse_aspect_ratio
from flow2api_proto.generation.v1 import image_pb2, media_pb2, model_pb2

_CONFIG: Final = "generationConfig"
_IMAGE_CONFIG: Final = f"{_CONFIG}.imageConfig"
CONTENT_FIELDS: Final[Mapping[str, str]] = {
    "model_id": "model",
    "prompt": "contents",
    "input_images": "contents",
    "image_count": f"{_CONFIG}.candidateCount",
    "aspect_ratio": f"{_IMAGE_CONFIG}.aspectRatio",
    "resolution": f"{_IMAGE_CONFIG}.imageSize",
    "seed": f"{_CONFIG}.seed",
    "person_generation": f"{_IMAGE_CONFIG}.personGeneration",
    "request_id": "Idempotency-Key",
}
"""Fields of our gRPC requests by the names that Google's clients know."""

_MOST_CANDIDATES: Final = 8
_UNSAID_RATIO: Final = "1:1"
_MODALITIES: Final = frozenset({"TEXT", "IMAGE", "MODALITY_UNSPECIFIED"})
_FORMATS: Final = {"image/png": "png", "image/jpeg": "jpeg", "image/webp": "webp"}


@dataclass(frozen=True, slots=True)
class ContentForm:
    """How pictures are to be answered; ``convert_to`` is nothing when they go out as they are."""

    model: str
    with_text: bool
    convert_to: PictureFormat | None


def content_form(request: GenerateContentRequest, model_id: str) -> ContentForm:
    """Read the fields about the answer. Raises InvalidArgument naming the field."""
    config = request.generation_config or GenerationConfig()
    modalities = {word.strip().upper() for word in config.response_modalities or ()} - {"MODALITY_UNSPECIFIED"}
    if not modalities <= _MODALITIES:
        raise InvalidArgument.of(
            f"{_CONFIG}.responseModalities", "The model answers the modalities TEXT and IMAGE only."
        )
    if modalities and "IMAGE" not in modalities:
        raise InvalidArgument.of(
            f"{_CONFIG}.responseModalities", "The model makes pictures: 'responseModalities' must have IMAGE."
        )
    return ContentForm(
        model=model_id, with_text=not modalities or "TEXT" in modalities, convert_to=_output_format(config)
    )


def content_request(
    request: GenerateContentRequest,
    order: PictureOrder,
    model: model_pb2.Model,
    pictures: Sequence[media_pb2.InputImage],
    *,
    picture_count: int,
    api_key_id: str,
    request_id: str,
) -> image_pb2.GenerateImageRequest:
    """The request for pictures; ``picture_count`` counts those that are still to be fetched too.

    Without a ratio the picture has that of its first reference, else it is square, as Google's are. Raises
    InvalidArgument.
    """
    config = request.generation_config or GenerationConfig()
    image = config.image_config or ImageConfig()
    if picture_count > model.max_input_images:
        raise InvalidArgument.of(
            "contents",
            f"The model '{model.model_id}' takes at most {model.max_input_images} pictures, "
            f"{picture_count} were given.",
        )
    ratio = parse_aspect_ratio(image.aspect_ratio)
    if not ratio and not picture_count and _UNSAID_RATIO in model.aspect_ratios:
        ratio = _UNSAID_RATIO
    return image_pb2.GenerateImageRequest(
        model_id=model.model_id,
        prompt=order.prompt,
        input_images=pictures,
        aspect_ratio=ratio,
        resolution=exact_resolution((image.image_size or "")[:20], model.resolutions, param="resolution"),
        seed=_seed(config.seed),
        image_count=_count(config.candidate_count),
        person_generation=people(image.person_generation or ""),
        api_key_id=api_key_id,
        request_id=request_id,
    )


def people(text: str) -> str:
    """Which people may be shown, in our words: Google has several for nobody, in either case."""
    word = text.strip().lower()[:40]
    return "dont_allow" if word in {"disallow", "allow_none"} else word


def _count(candidates: int | None) -> int:
    if candidates is None:
        return 1
    if not 1 <= candidates <= _MOST_CANDIDATES:
        raise InvalidArgument.of("image_count", f"'candidateCount' must be between 1 and {_MOST_CANDIDATES}.")
    return candidates


def _seed(seed: int | None) -> int | None:
    if seed is not None and not -(2**31) <= seed < 2**31:
        raise InvalidArgument.of("seed", "The seed must be a 32-bit integer.")
    return seed


def _output_format(config: GenerationConfig) -> PictureFormat | None:
    options = config.image_config.image_output_options if config.image_config else None
    if options is None or not options.mime_type:
        return None
    param = f"{_IMAGE_CONFIG}.imageOutputOptions"
    name = _FORMATS.get(options.mime_type.lower())
    if name is None:
        raise InvalidArgument.of(f"{param}.mimeType", f"'mimeType' must be one of {', '.join(_FORMATS)}.")
    quality = 100 if options.compression_quality is None else options.compression_quality
    if not 0 <= quality <= 100:
        raise InvalidArgument.of(f"{param}.compressionQuality", "'compressionQuality' must be between 0 and 100.")
    return PictureFormat(name, quality)
