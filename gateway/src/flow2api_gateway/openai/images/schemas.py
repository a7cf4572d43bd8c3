"""What clients send to the Images API. Source: docs/upstream/openai.md, section 7."""

from __future__ import annotations

from typing import Any, Final

from pydantic import BaseModel, ConfigDict

from flow2api_gateway.edge.uploaded_files import UploadedFile
from flow2api_gateway.openai.picture_references import places_of_references

EDIT_PICTURES: Final = places_of_references("image", "images")


class ImageGenerationRequest(BaseModel):
    """Body of ``POST /v1/images/generations``."""

    model_config = ConfigDict(extra="ignore", arbitrary_types_allowed=True)

    prompt: str
    model: str
    n: int | None = None
    size: str | None = None
    aspect_ratio: str | None = None
    quality: str | None = None
    image_size: str | None = None
    background: str | None = None
    output_format: str | None = None
    output_compression: int | None = None
    response_format: str | None = None
    stream: bool | None = None
    partial_images: int | None = None
    svg: Any = None
    seed: int | None = None


class ImageEditRequest(ImageGenerationRequest):
    """Fields of ``POST /v1/images/edits``, as a form or as JSON; read by hand, because each picture has many forms."""

    image: Any = None
    images: Any = None
    mask: Any = None

    def has_mask(self) -> bool:
        """Whether a part of the picture is to be kept."""
        return isinstance(self.mask, UploadedFile) or bool(self.mask)
