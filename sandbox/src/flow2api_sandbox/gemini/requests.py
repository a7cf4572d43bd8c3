"""The bodies of ``generateContent`` and of uploads.

Source: docs/upstream/google-official.md, sections 2, 5 and 9. protobuf JSON: camelCase and snake_case are both taken.
"""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic.alias_generators import to_camel


class ProtoJson(BaseModel):
    """Base: unknown names are refused, both spellings are taken."""

    model_config = ConfigDict(extra="forbid", frozen=True, alias_generator=to_camel, populate_by_name=True)


class InlineData(ProtoJson):
    """A file inside the request."""

    mime_type: Annotated[str, Field(min_length=1)]
    data: Annotated[str, Field(min_length=1)]
    display_name: str | None = None


class FileData(ProtoJson):
    """A file of the Files API."""

    file_uri: Annotated[str, Field(min_length=1)]
    mime_type: str | None = None


class Part(ProtoJson):
    """A piece of a turn: exactly one of text, file inside, file elsewhere."""

    text: str | None = None
    inline_data: InlineData | None = None
    file_data: FileData | None = None
    thought: bool = False
    thought_signature: str | None = None

    @model_validator(mode="after")
    def _has_one_datum(self) -> "Part":
        given = [each for each in (self.text, self.inline_data, self.file_data) if each is not None]
        if len(given) != 1:
            raise ValueError("required oneof field 'data' must have one initialized field")
        return self


class Content(ProtoJson):
    """A turn."""

    role: Literal["user", "model"] | None = None
    parts: Annotated[list[Part], Field(min_length=1)]


class ImageConfig(ProtoJson):
    """What the picture shall be."""

    aspect_ratio: str | None = None
    image_size: str | None = None

    @property
    def output_mime_type(self) -> str:
        """The MIME type of the picture."""
        return "image/png"


class ThinkingConfig(ProtoJson):
    """How much the model thinks, and whether it shows."""

    thinking_level: Literal["MINIMAL", "LOW", "MEDIUM", "HIGH"] | None = None
    include_thoughts: bool = False
    thinking_budget: int | None = None


class GenerationConfig(ProtoJson):
    """Settings of one generation."""

    response_modalities: list[Literal["TEXT", "IMAGE"]] | None = None
    image_config: ImageConfig = ImageConfig()
    seed: Annotated[int, Field(ge=-(2**31), lt=2**31)] | None = None
    candidate_count: Annotated[int, Field(ge=1, le=1)] = 1
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    top_p: float | None = None
    top_k: float | None = None
    max_output_tokens: int | None = None
    stop_sequences: list[str] = []
    thinking_config: ThinkingConfig | None = None


class SafetySetting(ProtoJson):
    """A threshold for a kind of harm."""

    category: Annotated[str, Field(pattern="^HARM_CATEGORY_[A-Z_]+$")]
    threshold: Literal["BLOCK_LOW_AND_ABOVE", "BLOCK_MEDIUM_AND_ABOVE", "BLOCK_ONLY_HIGH", "BLOCK_NONE", "OFF"]


class GenerateContent(ProtoJson):
    """``generateContent`` and ``streamGenerateContent``, what both APIs have of it."""

    contents: Annotated[list[Content], Field(min_length=1)]
    system_instruction: Content | None = None
    generation_config: GenerationConfig = GenerationConfig()
    safety_settings: list[SafetySetting] = []
    labels: dict[str, str] = {}

    @property
    def prompt(self) -> str:
        """The text of the last user turn."""
        for content in reversed(self.contents):
            if content.role != "model":
                return "\n".join(part.text for part in content.parts if part.text is not None)
        return ""

    @property
    def wants_text(self) -> bool:
        """Whether text may come with the picture."""
        modalities = self.generation_config.response_modalities
        return modalities is None or "TEXT" in modalities

    @property
    def wants_image(self) -> bool:
        """Whether a picture may come."""
        modalities = self.generation_config.response_modalities
        return modalities is None or "IMAGE" in modalities


class GeminiGenerateContent(GenerateContent):
    """The body on the Gemini API."""

    service_tier: Literal["flex", "standard", "priority"] | None = None
    store: bool | None = None


class FileMetadata(ProtoJson):
    """What an upload says about its file."""

    name: Annotated[str, Field(pattern=r"^(files/)?[a-z0-9][a-z0-9-]{0,39}$")] | None = None
    display_name: str = ""
    mime_type: str | None = None
    size_bytes: int | None = None


class StartUpload(ProtoJson):
    """The first request of an upload."""

    file: FileMetadata = FileMetadata()
