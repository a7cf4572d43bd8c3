"""What clients send to ``generateContent``; fields that do not matter for pictures are tolerated and ignored.

Protobuf JSON: both spellings of every name are taken. Source: docs/upstream/google-official.md, sections 2 and 5.
"""

from __future__ import annotations

from typing import Final

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel

from flow2api_gateway.edge.kept_pictures import PicturePlaces

CONTENT_PICTURES: Final = PicturePlaces(
    base64=("contents[].parts[].inlineData.data", "contents[].parts[].inline_data.data")
)


class ProtoJson(BaseModel):
    """Base: camelCase and snake_case."""

    model_config = ConfigDict(extra="ignore", alias_generator=to_camel, populate_by_name=True)


class Blob(ProtoJson):
    """A file inside the request, as base64."""

    mime_type: str = ""
    data: str


class FileData(ProtoJson):
    """A file elsewhere."""

    file_uri: str
    mime_type: str = ""


class Part(ProtoJson):
    """A piece of a turn."""

    text: str | None = None
    inline_data: Blob | None = None
    file_data: FileData | None = None
    thought: bool | None = None


class Content(ProtoJson):
    """A turn of a conversation."""

    role: str | None = None
    parts: list[Part] | None = None


class ImageOutputOptions(ProtoJson):
    """The form of the file."""

    mime_type: str | None = None
    compression_quality: int | None = None


class ImageConfig(ProtoJson):
    """What the picture shall be."""

    aspect_ratio: str | None = None
    image_size: str | None = None
    image_output_options: ImageOutputOptions | None = None
    person_generation: str | None = None


class GenerationConfig(ProtoJson):
    """Settings of one generation."""

    response_modalities: list[str] | None = None
    image_config: ImageConfig | None = None
    candidate_count: int | None = None
    seed: int | None = None


class GenerateContentRequest(ProtoJson):
    """Body of ``generateContent`` and ``streamGenerateContent``."""

    contents: list[Content]
    system_instruction: Content | None = None
    generation_config: GenerationConfig | None = None
