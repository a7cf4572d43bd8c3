"""What clients send to the Videos API, as a form or as JSON. Source: docs/upstream/openai.md, section 8."""

from __future__ import annotations

from typing import Any, Final

from pydantic import BaseModel, ConfigDict, SecretStr

from flow2api_gateway.openai.picture_references import places_of_references

CREATE_PICTURES: Final = places_of_references("input_reference", "reference_images", "last_frame")


class VideoCreateRequest(BaseModel):
    """Fields of ``POST /v1/videos``; pictures are read by hand, because each has many forms."""

    model_config = ConfigDict(extra="ignore")

    prompt: str
    model: str
    seconds: str | int | float | None = None
    size: str | None = None
    input_reference: Any = None
    aspect_ratio: str | None = None
    resolution: str | None = None
    negative_prompt: str | None = None
    seed: int | None = None
    last_frame: Any = None
    reference_images: Any = None
    webhook_url: str | None = None
    webhook_secret: SecretStr | None = None
    deadline: str | int | float | None = None
    expires_after: dict[str, Any] | str | int | float | None = None
    metadata: dict[str, str] | None = None


class VideoRemixRequest(BaseModel):
    """Body of ``POST /v1/videos/{id}/remix``; all but the prompt are ours. ``model`` is for where that of the source
    cannot go on from it."""

    model_config = ConfigDict(extra="ignore")

    prompt: str
    model: str | None = None
    webhook_url: str | None = None
    webhook_secret: SecretStr | None = None
    deadline: str | int | float | None = None
    expires_after: dict[str, Any] | str | int | float | None = None


class VideoEditRequest(VideoRemixRequest):
    """Fields of ``POST /v1/videos/edits``; the video is read by hand, because it has many forms."""

    video: Any = None


class VideoExtendRequest(VideoEditRequest):
    """Fields of ``POST /v1/videos/extensions``. ``seconds`` is the length of what is added."""

    seconds: str | int | float | None = None
