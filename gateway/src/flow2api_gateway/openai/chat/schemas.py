"""What clients send to chat completions: the fields that matter for media; everything else is tolerated and ignored.

Source: docs/upstream/openai.md, section 6.
"""

from __future__ import annotations

from typing import Any, Final

from pydantic import BaseModel, ConfigDict, Field

from flow2api_gateway.edge.kept_pictures import PicturePlaces

CHAT_PICTURES: Final = PicturePlaces(
    data_urls=(
        "messages[].content[].image_url.url",
        "messages[].content[].image_url",
        "messages[].content[].file.file_data",
    )
)


class ChatMessage(BaseModel):
    """One message; parts are read by `flow2api_gateway.openai.chat.conversation`."""

    model_config = ConfigDict(extra="ignore")

    role: str
    content: str | list[dict[str, Any]] | None = None


class StreamOptions(BaseModel):
    """How to stream."""

    model_config = ConfigDict(extra="ignore")

    include_usage: bool | None = None


class MediaExtensions(BaseModel):
    """Fields beside OpenAI's, at the top level or inside ``extra_body``."""

    model_config = ConfigDict(extra="ignore")

    size: str | None = None
    aspect_ratio: str | None = None
    quality: str | None = None
    image_size: str | None = None
    resolution: str | None = None
    seconds: str | int | float | None = None
    negative_prompt: str | None = None
    generationConfig: dict[str, Any] | None = Field(default=None, description="Gemini's form: imageConfig inside.")  # noqa: N815 - the client's name of the field.


class ChatCompletionRequest(MediaExtensions):
    """Body of ``POST /v1/chat/completions``."""

    model: str
    messages: list[ChatMessage]
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    n: int | None = None
    seed: int | None = None
    user: str | None = None
    extra_body: MediaExtensions | None = None

    @property
    def includes_usage(self) -> bool:
        """Whether a usage chunk ends the stream."""
        return bool(self.stream_options and self.stream_options.include_usage)
