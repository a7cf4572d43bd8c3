"""What clients send to ``interactions``: snake_case, unknown fields tolerated.

Source: docs/upstream/google-official.md, section 6.
"""

from __future__ import annotations

from typing import Any, Final

from pydantic import BaseModel, ConfigDict

from flow2api_gateway.edge.kept_pictures import PicturePlaces

INPUT_PICTURES: Final = PicturePlaces(
    base64=("input.data", "input[].data", "input.content[].data", "input[].content[].data")
)


class Snake(BaseModel):
    """Base: fields that do not matter here are ignored."""

    model_config = ConfigDict(extra="ignore")


class InteractionContent(Snake):
    """A piece of a turn: words, a picture, a clip."""

    type: str
    text: str | None = None
    mime_type: str | None = None
    data: str | None = None
    uri: str | None = None


class InteractionStep(Snake):
    """A turn of the user or of the model."""

    type: str
    content: list[InteractionContent] | str | None = None


class ResponseFormat(Snake):
    """What the result shall be."""

    type: str
    aspect_ratio: str | None = None
    duration: str | None = None
    resolution: str | None = None
    image_size: str | None = None
    mime_type: str | None = None
    delivery: str | None = None
    gcs_uri: str | None = None


class VideoConfig(Snake):
    """What kind of work a clip is."""

    task: str | None = None


class InteractionConfig(Snake):
    """Settings of the generation."""

    seed: int | None = None
    video_config: VideoConfig | None = None


class CreateInteractionRequest(Snake):
    """Body of ``POST /v1beta/interactions``; the input is read by hand, because it has three forms."""

    model: str
    input: str | list[dict[str, Any]] | dict[str, Any]
    response_format: ResponseFormat | list[ResponseFormat] | None = None
    generation_config: InteractionConfig | None = None
    background: bool | None = None
    stream: bool | None = None
    previous_interaction_id: str | None = None
    system_instruction: str | None = None
