"""What clients send to ``predictLongRunning``. Source: docs/upstream/google-official.md, section 8."""

from __future__ import annotations

from typing import Final

from flow2api_gateway.edge.kept_pictures import PicturePlaces
from flow2api_gateway.gemini.content.schemas import Blob, ProtoJson

_IMAGES: Final = ("image", "lastFrame", "last_frame", "referenceImages[].image", "reference_images[].image")
_BYTES: Final = (
    "bytesBase64Encoded",
    "bytes_base64_encoded",
    "imageBytes",
    "image_bytes",
    "inlineData.data",
    "inline_data.data",
)
PREDICT_PICTURES: Final = PicturePlaces(
    base64=tuple(f"instances[].{image}.{encoded}" for image in _IMAGES for encoded in _BYTES)
)


class VeoImage(ProtoJson):
    """A picture in any of the forms in which SDKs and documents write one."""

    bytes_base64_encoded: str | None = None
    image_bytes: str | None = None
    inline_data: Blob | None = None
    file_uri: str | None = None
    uri: str | None = None
    gcs_uri: str | None = None
    mime_type: str | None = None


class VeoReference(ProtoJson):
    """A picture of something to show."""

    image: VeoImage
    reference_type: str | None = None


class VeoVideo(ProtoJson):
    """A clip to go on from: where it is, or its bytes as Vertex and as the Gemini API call them."""

    uri: str | None = None
    gcs_uri: str | None = None
    bytes_base64_encoded: str | None = None
    encoded_video: str | None = None


class FetchPredictOperationRequest(ProtoJson):
    """Body of ``fetchPredictOperation``."""

    operation_name: str


class VeoInstance(ProtoJson):
    """What to show."""

    prompt: str | None = None
    image: VeoImage | None = None
    last_frame: VeoImage | None = None
    reference_images: list[VeoReference] | None = None
    video: VeoVideo | None = None


class VeoParameters(ProtoJson):
    """How to show it."""

    sample_count: int | None = None
    number_of_videos: int | None = None
    duration_seconds: str | int | float | None = None
    aspect_ratio: str | None = None
    resolution: str | None = None
    negative_prompt: str | None = None
    seed: int | None = None
    generate_audio: bool | None = None
    person_generation: str | None = None
    storage_uri: str | None = None


class PredictLongRunningRequest(ProtoJson):
    """Body of ``predictLongRunning``."""

    instances: list[VeoInstance]
    parameters: VeoParameters | None = None
