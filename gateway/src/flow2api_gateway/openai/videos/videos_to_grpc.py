"""A request of the Videos API as a request of the generation-service.

Source: docs/upstream/openai.md, section 8.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from flow2api_common.errors import InvalidArgument
from flow2api_gateway.edge.uploaded_files import UploadedFile
from flow2api_gateway.generation.pictures import PictureSource
from flow2api_gateway.openai.options import (
    check_seed,
    exact_resolution,
    nearest_resolution,
    parse_aspect_ratio,
    parse_resolution,
    parse_seconds,
    parse_size,
    video_step_of,
)
from flow2api_gateway.openai.picture_references import picture_source, reference_of
from flow2api_gateway.openai.videos.deadlines import deadline_of
from flow2api_gateway.openai.videos.schemas import VideoCreateRequest
from flow2api_proto.generation.v1 import media_pb2, model_pb2, video_pb2

VIDEO_FIELDS: Final[Mapping[str, str]] = {
    "model_id": "model",
    "input_images": "input_reference",
    "duration_seconds": "seconds",
    "request_id": "Idempotency-Key",
    "source_video_id": "video",
    "deadline_time": "deadline",
}
"""Fields of our gRPC requests by the names that clients of the Videos API know."""

CREATE_FIELDS: Final[Mapping[str, str]] = {**VIDEO_FIELDS, "source_video_id": "input_reference"}
"""The same where a video comes as the reference."""

_VIDEO_ID = re.compile(r"video_[A-Za-z0-9_-]{1,100}")
_MAX_PROMPT: Final = 32_000
_MAX_METADATA: Final = 16


def referred_video(request: VideoCreateRequest) -> str:
    """The id of an earlier video that ``input_reference`` names, to go on from; empty when it is a picture or none."""
    video_id = _named_id(reference_of(request.input_reference, "input_reference"))
    return video_id if _VIDEO_ID.fullmatch(video_id) else ""


def source_video(value: Any) -> str:
    """The id of the video to change, which clients name as text or as an object. Raises InvalidArgument on
    ``video``."""
    if value in (None, "", {}):
        raise InvalidArgument.of("video", "Missing required parameter: 'video'.", reason="MISSING_PARAMETER")
    if isinstance(value, UploadedFile):
        raise InvalidArgument.of(
            "video", "Uploaded videos are not taken: give the id of an earlier one.", reason="UNSUPPORTED_PARAMETER"
        )
    video_id = _named_id(reference_of(value, "video"))
    if not video_id:
        raise InvalidArgument.of("video", "'video' must be the id of an earlier video.")
    return video_id


def _named_id(value: Any) -> str:
    if isinstance(value, dict):
        value = value.get("id", value.get("file_id"))
    return value if isinstance(value, str) else ""


def reference_sources(request: VideoCreateRequest) -> list[PictureSource]:
    """The pictures: the first frame or reference, further references, the last frame. Raises InvalidArgument."""
    sources: list[PictureSource] = []
    sources += [picture_source(one, "input_reference") for one in _listed(request.input_reference, "input_reference")]
    sources += [
        picture_source(image, f"reference_images[{index}]", role=media_pb2.INPUT_IMAGE_ROLE_REFERENCE)
        for index, image in enumerate(_listed(request.reference_images, "reference_images"))
    ]
    if request.last_frame not in (None, ""):
        sources.append(picture_source(request.last_frame, "last_frame", role=media_pb2.INPUT_IMAGE_ROLE_LAST_FRAME))
    return sources


def _listed(value: Any, param: str) -> list[Any]:
    value = reference_of(value, param)
    if value in (None, "", []):
        return []
    return value if isinstance(value, list) else [value]


def check_video_values(request: VideoCreateRequest, model: model_pb2.Model, *, picture_count: int) -> None:
    """Everything about the values that needs no picture to be fetched. Raises InvalidArgument naming the field."""
    if model.modality != model_pb2.MODALITY_VIDEO:
        raise InvalidArgument.of("model", f"The model '{request.model[:100]}' does not make videos.")
    check_prompt(request.prompt)
    if picture_count > model.max_input_images:
        raise InvalidArgument.of(
            "input_reference",
            f"The model '{request.model[:100]}' takes at most {model.max_input_images} pictures, "
            f"{picture_count} were given.",
        )
    if request.metadata is not None and len(request.metadata) > _MAX_METADATA:
        raise InvalidArgument.of("metadata", f"'metadata' has more than {_MAX_METADATA} pairs.")
    video_request(request, model, (), api_key_id="", request_id="")


def check_prompt(prompt: str) -> None:
    """Raises InvalidArgument on ``prompt``."""
    if not prompt.strip():
        raise InvalidArgument.of("prompt", "'prompt' must not be empty.")
    if len(prompt) > _MAX_PROMPT:
        raise InvalidArgument.of("prompt", f"'prompt' has more than {_MAX_PROMPT} characters.")


def video_request(
    request: VideoCreateRequest,
    model: model_pb2.Model,
    pictures: Sequence[media_pb2.InputImage],
    *,
    api_key_id: str,
    request_id: str,
) -> video_pb2.CreateVideoRequest:
    """The request for a job. Raises InvalidArgument naming the client's field."""
    size = parse_size(request.size)
    check_seed(request.seed)
    named = parse_resolution(request.resolution, param="resolution")
    if named:
        resolution = exact_resolution(named, model.resolutions, param="resolution")
    else:
        resolution = nearest_resolution(video_step_of(size), model.resolutions)
    return video_pb2.CreateVideoRequest(
        model_id=request.model,
        prompt=request.prompt,
        input_images=pictures,
        aspect_ratio=parse_aspect_ratio(request.aspect_ratio),
        size=size.to_proto() if size else None,
        resolution=resolution,
        duration_seconds=parse_seconds(request.seconds, model.durations_seconds),
        seed=request.seed,
        negative_prompt=request.negative_prompt or "",
        metadata=request.metadata or {},
        api_key_id=api_key_id,
        request_id=request_id,
        webhook_url=request.webhook_url or "",
        webhook_secret=request.webhook_secret.get_secret_value() if request.webhook_secret else "",
        deadline_time=deadline_of(request.deadline, request.expires_after),
    )
