"""The parts of a ``predictLongRunning`` body that both APIs have.

Source: docs/upstream/google-official.md, section 8. Names are camelCase alone: ``instances`` and ``parameters`` are
``google.protobuf.Value``, which knows no other spelling.
"""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic.alias_generators import to_camel

IMAGE_TYPES = frozenset({"image/png", "image/jpeg", "image/webp"})
ImageType = Literal["image/png", "image/jpeg", "image/webp"]
Labels = dict[Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,62}$")], str]


class Exact(BaseModel):
    """Base: unknown names are refused, camelCase is the only spelling, types are not converted."""

    model_config = ConfigDict(extra="forbid", frozen=True, alias_generator=to_camel, strict=True)


class CommonParameters(Exact):
    """What a clip shall be."""

    duration_seconds: Literal[4, 6, 8] | None = None
    aspect_ratio: Literal["16:9", "9:16"] | None = None
    resolution: Literal["720p", "1080p", "4k"] = "720p"
    negative_prompt: str | None = None
    person_generation: Literal["allow_all", "allow_adult", "dont_allow", "disallow"] | None = None
    seed: Annotated[int, Field(ge=0, lt=2**32)] | None = None


def exactly_one(**given: object) -> None:
    """Raise ValueError unless one of the named things is there."""
    if sum(value is not None for value in given.values()) != 1:
        raise ValueError(f"exactly one of {', '.join(to_camel(name) for name in given)} is needed")


class VertexImage(Exact):
    """A picture inside the request or in a bucket."""

    mime_type: ImageType
    bytes_base64_encoded: str | None = None
    gcs_uri: str | None = None

    @model_validator(mode="after")
    def _has_one_source(self) -> "VertexImage":
        exactly_one(bytes_base64_encoded=self.bytes_base64_encoded, gcs_uri=self.gcs_uri)
        return self


class VertexVideo(Exact):
    """A clip inside the request or in a bucket."""

    mime_type: Literal["video/mp4"]
    bytes_base64_encoded: str | None = None
    gcs_uri: str | None = None

    @model_validator(mode="after")
    def _has_one_source(self) -> "VertexVideo":
        exactly_one(bytes_base64_encoded=self.bytes_base64_encoded, gcs_uri=self.gcs_uri)
        return self


class VertexReference(Exact):
    """A picture that shall be seen; ``style`` was Veo 2's."""

    image: VertexImage
    reference_type: Literal["ASSET", "asset"]


class VertexInstance(Exact):
    """What the clip is made from. ``mask`` was Veo 2's."""

    prompt: str = ""
    image: VertexImage | None = None
    last_frame: VertexImage | None = None
    reference_images: list[VertexReference] = []
    video: VertexVideo | None = None


class VertexParameters(CommonParameters):
    """What Vertex has more."""

    sample_count: Annotated[int, Field(ge=1, le=4)] = 1
    enhance_prompt: Literal[True] | None = None
    generate_audio: bool = True
    storage_uri: str | None = None
    compression_quality: Literal["optimized", "lossless", "OPTIMIZED", "LOSSLESS"] | None = None
    resize_mode: Literal["pad", "crop", "PAD", "CROP"] | None = None
    fps: Literal[24] | None = None
    pubsub_topic: Annotated[str, Field(pattern=r"^projects/[^/]+/topics/[^/]+$")] | None = None


class VertexPredict(Exact):
    """``predictLongRunning`` on Vertex."""

    instances: Annotated[list[VertexInstance], Field(min_length=1, max_length=1)]
    parameters: VertexParameters = VertexParameters()
    labels: Labels = {}


class GeminiInline(Exact):
    """A picture as ``generateContent`` has it, which the REST documents show here too."""

    mime_type: ImageType
    data: str


class GeminiImage(Exact):
    """A picture inside the request, in one of two forms."""

    mime_type: ImageType | None = None
    bytes_base64_encoded: str | None = None
    inline_data: GeminiInline | None = None

    @model_validator(mode="after")
    def _has_one_form(self) -> "GeminiImage":
        exactly_one(bytes_base64_encoded=self.bytes_base64_encoded, inline_data=self.inline_data)
        if (self.bytes_base64_encoded is None) != (self.mime_type is None):
            raise ValueError("mimeType belongs to bytesBase64Encoded")
        return self


class GeminiVideo(Exact):
    """A clip that Veo made: by the URI of the result, or its bytes."""

    uri: str | None = None
    encoded_video: str | None = None
    encoding: Literal["video/mp4"] | None = None

    @model_validator(mode="after")
    def _has_one_source(self) -> "GeminiVideo":
        exactly_one(uri=self.uri, encoded_video=self.encoded_video)
        if self.encoded_video is not None and self.encoding is None:
            raise ValueError("encoding is needed with encodedVideo")
        return self


class GeminiReference(Exact):
    """A picture that shall be seen."""

    image: GeminiImage
    reference_type: Literal["ASSET", "asset"]


class GeminiInstance(Exact):
    """What the clip is made from."""

    prompt: str = ""
    image: GeminiImage | None = None
    last_frame: GeminiImage | None = None
    reference_images: list[GeminiReference] = []
    video: GeminiVideo | None = None


class GeminiParameters(CommonParameters):
    """What the Gemini API has; one clip a call."""

    sample_count: Literal[1] = 1
    enhance_prompt: bool | None = None


class WebhookConfig(Exact):
    """Receivers of this operation's end; the sandbox sends none."""

    uris: list[str] = []
    user_metadata: dict[str, str] = {}


class GeminiPredict(Exact):
    """``predictLongRunning`` on the Gemini API."""

    instances: Annotated[list[GeminiInstance], Field(min_length=1, max_length=1)]
    parameters: GeminiParameters = GeminiParameters()
    webhook_config: WebhookConfig | None = None


class FetchOperation(Exact):
    """``fetchPredictOperation``."""

    operation_name: Annotated[str, Field(min_length=1)]
