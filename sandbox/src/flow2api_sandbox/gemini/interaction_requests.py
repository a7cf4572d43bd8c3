"""The body of ``interactions``: snake_case, lower-case words.

Source: docs/upstream/google-official.md, section 6.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator


class Snake(BaseModel):
    """Base: unknown names are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class TextContent(Snake):
    """Words."""

    type: Literal["text"]
    text: Annotated[str, Field(min_length=1)]


class MediaContent(Snake):
    """A picture, clip or sound, inside the request or by URI."""

    type: Literal["image", "video", "audio"]
    mime_type: str | None = None
    data: str | None = None
    uri: str | None = None

    @model_validator(mode="after")
    def _has_one_source(self) -> "MediaContent":
        if (self.data is None) == (self.uri is None):
            raise ValueError("exactly one of data and uri is needed")
        if self.data is not None and self.mime_type is None:
            raise ValueError("mime_type is needed with data")
        return self


Content = Annotated[TextContent | MediaContent, Field(discriminator="type")]


class UserInput(Snake):
    """A step of the user."""

    type: Literal["user_input"]
    content: Annotated[list[Content], Field(min_length=1)]


class VideoFormat(Snake):
    """What the clip shall be."""

    type: Literal["video"]
    aspect_ratio: Literal["16:9", "9:16"] = "16:9"
    duration: Annotated[str, Field(pattern=r"^\d+s$")] = "8s"
    resolution: Literal["360p", "720p", "1080p", "4k"] = "720p"
    delivery: Literal["inline", "uri"] = "inline"


class ImageFormat(Snake):
    """What the picture shall be."""

    type: Literal["image"]
    aspect_ratio: str = "1:1"
    image_size: Literal["512", "1K", "2K", "4K"] = "1K"
    mime_type: Literal["image/jpeg"] = "image/jpeg"
    delivery: Literal["inline", "uri"] = "inline"


ResponseFormat = Annotated[VideoFormat | ImageFormat, Field(discriminator="type")]


class VideoConfig(Snake):
    """What kind of work a clip is."""

    task: Literal["text_to_video", "image_to_video", "reference_to_video", "edit", "extend", "upscale"] | None = None


class InteractionConfig(Snake):
    """Settings of the generation."""

    seed: int | None = None
    max_output_tokens: int | None = None
    thinking_level: Literal["minimal", "low", "medium", "high", "xhigh"] | None = None
    stop_sequences: list[str] = []
    video_config: VideoConfig = VideoConfig()


class InteractionSafety(Snake):
    """A threshold for a kind of harm."""

    type: str
    threshold: Literal["block_low_and_above", "block_medium_and_above", "block_only_high", "block_none", "off"]


class CreateInteraction(Snake):
    """``POST /interactions``."""

    model: Annotated[str, Field(min_length=1)]
    input: str | list[Content] | list[UserInput]
    response_format: ResponseFormat | None = None
    response_modalities: list[Literal["text", "image", "video"]] | None = None
    generation_config: InteractionConfig = InteractionConfig()
    background: bool = False
    store: bool = True
    stream: bool = False
    previous_interaction_id: str | None = None
    system_instruction: str | None = None
    safety_settings: list[InteractionSafety] = []
    labels: dict[str, str] = {}
    service_tier: Literal["flex", "standard", "priority", "deferred"] | None = None
    webhook_config: dict[str, Any] | None = None

    @field_validator("response_format", mode="before")
    @classmethod
    def _unwrap_single_format(cls, value: object) -> object:
        return value[0] if isinstance(value, list) and len(value) == 1 else value

    @model_validator(mode="after")
    def _background_is_stored(self) -> "CreateInteraction":
        if self.background and not self.store:
            raise ValueError("background requires store")
        return self

    @property
    def output(self) -> VideoFormat | ImageFormat | None:
        """What is asked for; ``None`` leaves it to the model."""
        return self.response_format

    @property
    def contents(self) -> list[TextContent | MediaContent]:
        """All input contents, in their order."""
        if isinstance(self.input, str):
            return [TextContent(type="text", text=self.input)]
        found: list[TextContent | MediaContent] = []
        for each in self.input:
            found.extend(each.content if isinstance(each, UserInput) else [each])
        return found

    @property
    def prompt(self) -> str:
        """All words of the input."""
        return "\n".join(each.text for each in self.contents if isinstance(each, TextContent))

    def count(self, kind: Literal["image", "video"]) -> int:
        """How many pictures or clips came along."""
        return sum(1 for each in self.contents if each.type == kind)
