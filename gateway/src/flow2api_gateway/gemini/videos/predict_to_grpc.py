"""A ``predictLongRunning`` request as a request of the generation-service.

Source: docs/upstream/google-official.md, section 8.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

from flow2api_common.errors import InvalidArgument
from flow2api_gateway.gemini.content.content_to_grpc import people
from flow2api_gateway.gemini.content.conversation import MAX_PROMPT, inline_source
from flow2api_gateway.gemini.content.schemas import Blob
from flow2api_gateway.gemini.file_uris import file_id_of, uri_source
from flow2api_gateway.gemini.files.lookup import video_of_file
from flow2api_gateway.gemini.videos.schemas import PredictLongRunningRequest, VeoImage, VeoInstance, VeoParameters
from flow2api_gateway.generation.pictures import PictureSource, decode_base64
from flow2api_gateway.openai.options import exact_resolution, parse_aspect_ratio, parse_seconds
from flow2api_proto.generation.v1 import media_pb2, model_pb2, video_pb2

_INSTANCE: Final = "instances[0]"
_OPERATION: Final = re.compile(r"/operations/(?P<id>video_[0-9a-f]{1,64})$")
PREDICT_FIELDS: Final[Mapping[str, str]] = {
    "model_id": "model",
    "prompt": f"{_INSTANCE}.prompt",
    "input_images": f"{_INSTANCE}.image",
    "source_video_id": f"{_INSTANCE}.video",
    "aspect_ratio": "parameters.aspectRatio",
    "resolution": "parameters.resolution",
    "seconds": "parameters.durationSeconds",
    "duration_seconds": "parameters.durationSeconds",
    "negative_prompt": "parameters.negativePrompt",
    "seed": "parameters.seed",
    "person_generation": "parameters.personGeneration",
    "request_id": "Idempotency-Key",
}
"""Fields of our gRPC requests by the names that Google's clients know."""


def the_instance(request: PredictLongRunningRequest) -> VeoInstance:
    """The one thing to show. Raises InvalidArgument."""
    if len(request.instances) != 1:
        raise InvalidArgument.of("instances", "There must be exactly one instance.")
    return request.instances[0]


def clip_sources(instance: VeoInstance) -> list[PictureSource]:
    """The pictures: first frame, references, last frame. Decodes base64: for a thread. Raises InvalidArgument."""
    sources: list[PictureSource] = []
    if instance.image is not None:
        role = media_pb2.INPUT_IMAGE_ROLE_FIRST_FRAME
        sources.append(_source(instance.image, f"{_INSTANCE}.image", role))
    for index, reference in enumerate(instance.reference_images or []):
        param = f"{_INSTANCE}.referenceImages[{index}]"
        if (reference.reference_type or "asset").lower() not in ("asset", "style"):
            raise InvalidArgument.of(f"{param}.referenceType", "'referenceType' must be 'asset' or 'style'.")
        sources.append(_source(reference.image, f"{param}.image", media_pb2.INPUT_IMAGE_ROLE_REFERENCE))
    if instance.last_frame is not None:
        role = media_pb2.INPUT_IMAGE_ROLE_LAST_FRAME
        sources.append(_source(instance.last_frame, f"{_INSTANCE}.lastFrame", role))
    return sources


def clip_digest(instance: VeoInstance) -> bytes:
    """The SHA-256 of the bytes of the clip to extend, empty without any. Decodes base64: for a thread. Raises
    InvalidArgument."""
    encoded = instance.video and (instance.video.bytes_base64_encoded or instance.video.encoded_video)
    if not encoded:
        return b""
    try:
        return hashlib.sha256(decode_base64(encoded)).digest()
    except ValueError as exc:
        raise InvalidArgument.of(f"{_INSTANCE}.video", "The video is not valid base64.") from exc


def clip_request(
    request: PredictLongRunningRequest,
    model: model_pb2.Model,
    pictures: Sequence[media_pb2.InputImage],
    *,
    picture_count: int,
    source_sha256: bytes,
    api_key_id: str,
    request_id: str,
) -> video_pb2.CreateVideoRequest:
    """The request for a job; ``picture_count`` counts pictures to be fetched too, ``source_sha256`` is what
    `clip_digest` says. Raises InvalidArgument."""
    instance, parameters = the_instance(request), request.parameters or VeoParameters()
    if (parameters.sample_count or parameters.number_of_videos or 1) != 1:
        raise InvalidArgument.of("parameters.sampleCount", "One video is made per request: 'sampleCount' must be 1.")
    if parameters.storage_uri:
        raise InvalidArgument.of(
            "parameters.storageUri",
            "Clips are not written into buckets: leave out 'storageUri', and the clip comes with its operation.",
        )
    source_video_id = _source_video(instance)
    prompt = (instance.prompt or "").strip()
    if not (prompt or picture_count or source_video_id or source_sha256):
        raise InvalidArgument.of("prompt", "'prompt' must not be empty.", reason="MISSING_PARAMETER")
    if len(prompt) > MAX_PROMPT:
        raise InvalidArgument.of("prompt", f"'prompt' has more than {MAX_PROMPT} characters.")
    if picture_count > model.max_input_images:
        raise InvalidArgument.of(
            "input_images", f"The model takes at most {model.max_input_images} pictures, {picture_count} were given."
        )
    if parameters.seed is not None and not 0 <= parameters.seed < 2**32:
        raise InvalidArgument.of("seed", "The seed must be an unsigned 32-bit integer.")
    return video_pb2.CreateVideoRequest(
        model_id=model.model_id,
        prompt=prompt,
        input_images=pictures,
        aspect_ratio=parse_aspect_ratio(parameters.aspect_ratio),
        resolution=exact_resolution((parameters.resolution or "")[:20], model.resolutions, param="resolution"),
        duration_seconds=parse_seconds(parameters.duration_seconds),
        seed=parameters.seed,
        negative_prompt=parameters.negative_prompt or "",
        generate_audio=parameters.generate_audio,
        person_generation=people(parameters.person_generation or ""),
        source_video_id=source_video_id,
        source_sha256=source_sha256,
        api_key_id=api_key_id,
        request_id=request_id,
    )


def _source_video(instance: VeoInstance) -> str:
    if instance.video is None:
        return ""
    uri = instance.video.uri or instance.video.gcs_uri or ""
    if not uri and (instance.video.bytes_base64_encoded or instance.video.encoded_video):
        return ""
    operation = _OPERATION.search(uri)
    if operation is not None:
        return operation["id"]
    file_id = file_id_of(uri)
    video_id = video_of_file(file_id) if file_id else None
    if video_id is None:
        raise InvalidArgument.of(
            "source_video_id",
            "Only a video that was made here can be extended: give its URI, the name of its operation as the URI, "
            "or its bytes.",
        )
    return video_id


def _source(image: VeoImage, param: str, role: media_pb2.InputImageRole.ValueType) -> PictureSource:
    encoded = image.bytes_base64_encoded or image.image_bytes
    blob = Blob(mime_type=image.mime_type or "", data=encoded) if encoded else image.inline_data
    if blob is not None:
        return replace(inline_source(blob, param), role=role)
    uri = image.file_uri or image.uri or image.gcs_uri
    if not uri:
        raise InvalidArgument.of(param, "The picture is missing: give 'bytesBase64Encoded'.", reason="INVALID_IMAGE")
    return uri_source(uri, param, role=role)
