"""The pictures of an edit, in any of the forms in which clients send them.

``image`` as one file or text, ``image[]`` as several, JSON ``images`` of ``{"image_url"}`` or ``{"file_id"}``.
Source: docs/upstream/openai.md, section 7.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from flow2api_common.errors import InvalidArgument
from flow2api_gateway.generation.pictures import PictureSource
from flow2api_gateway.openai.images.schemas import ImageEditRequest
from flow2api_gateway.openai.picture_references import picture_source, reference_of

_MAX_PICTURES: Final = 16


def edit_sources(request: ImageEditRequest) -> list[PictureSource]:
    """The pictures in order. Raises InvalidArgument on ``image``, ``images`` or ``mask``."""
    if request.has_mask():
        raise InvalidArgument.of(
            "mask", "Masks are not supported: describe the change in the prompt.", reason="UNSUPPORTED_PARAMETER"
        )
    param, value = ("image", request.image) if request.image is not None else ("images", request.images)
    if value is None:
        raise InvalidArgument.of("image", "Missing required parameter: 'image'.", reason="MISSING_PARAMETER")
    if value in ([], ""):
        raise InvalidArgument.of(param, f"'{param}' must not be empty.", reason="MISSING_PARAMETER")
    value = reference_of(value, param)
    items: Sequence[Any] = value if isinstance(value, list) else [value]
    if len(items) > _MAX_PICTURES:
        raise InvalidArgument.of(param, f"At most {_MAX_PICTURES} pictures are taken.")
    return [
        picture_source(item, param if not isinstance(value, list) else f"{param}[{index}]")
        for index, item in enumerate(items)
    ]
