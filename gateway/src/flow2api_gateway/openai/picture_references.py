"""One picture in any of the forms in which clients refer to one outside a conversation.

A file; a URL or data URL; ``{"image_url": …}``, also with ``{"url": …}`` inside; ``{"file_id": …}``: the id of an
earlier picture; an object also as JSON text, which is all that a form has. Source: docs/upstream/openai.md,
sections 7 and 8.
"""

from __future__ import annotations

import re
from typing import Any

import orjson

from flow2api_common.errors import InvalidArgument
from flow2api_gateway.edge.kept_pictures import PicturePlaces
from flow2api_gateway.edge.uploaded_files import UploadedFile
from flow2api_gateway.generation.pictures import PictureSource
from flow2api_proto.generation.v1 import media_pb2

_MEDIA_ID = re.compile(r"[A-Za-z0-9_-]{1,100}")
_URL = re.compile(r"^(https?://|data:)", re.IGNORECASE)


def places_of_references(*members: str) -> PicturePlaces:
    """Where pictures are in documents that have one or a list of them under each of these names."""
    items = [item for member in members for item in (member, f"{member}[]")]
    forms = ("", ".image_url", ".image_url.url", ".url", ".url.url")
    return PicturePlaces(data_urls=tuple(f"{item}{form}" for item in items for form in forms))


def reference_of(value: Any, param: str) -> Any:
    """What clients write as text into a form although it is an object or a list, as ``{"file_id": …}``; everything
    else as it is. Raises InvalidArgument naming ``param``."""
    if not (isinstance(value, str) and value.lstrip().startswith(("{", "["))):
        return value
    try:
        return orjson.loads(value)
    except orjson.JSONDecodeError as exc:
        raise InvalidArgument.of(param, f"'{param}' is neither a URL, an id, nor valid JSON.") from exc


def picture_source(
    value: Any, param: str, *, role: media_pb2.InputImageRole.ValueType = media_pb2.INPUT_IMAGE_ROLE_UNSPECIFIED
) -> PictureSource:
    """Where the picture is. Raises InvalidArgument naming ``param`` or the part of it that is wrong."""
    value = reference_of(value, param)
    if isinstance(value, UploadedFile):
        if not value.size_bytes:
            raise InvalidArgument.of(param, "The file is empty.", reason="INVALID_IMAGE")
        return PictureSource(param=param, file=value, role=role)
    if isinstance(value, str):
        if _URL.match(value):
            return PictureSource(param=param, url=value, role=role)
        return PictureSource(param=param, media_id=_media_id(value, param), role=role)
    if isinstance(value, dict):
        return _from_object(value, param, role)
    raise InvalidArgument.of(
        param, f"Invalid type for '{param}': expected a file, a URL or an object.", reason="INVALID_TYPE"
    )


def _from_object(value: dict[str, Any], param: str, role: media_pb2.InputImageRole.ValueType) -> PictureSource:
    url = value.get("image_url", value.get("url"))
    if isinstance(url, dict):
        url = url.get("url")
    if isinstance(url, str) and url:
        return PictureSource(param=f"{param}.image_url", url=url, role=role)
    file_id = value.get("file_id", value.get("id"))
    if isinstance(file_id, str) and file_id:
        return PictureSource(param=f"{param}.file_id", media_id=_media_id(file_id, f"{param}.file_id"), role=role)
    raise InvalidArgument.of(param, f"'{param}' must have 'image_url' or 'file_id'.")


def _media_id(value: str, param: str) -> str:
    if not _MEDIA_ID.fullmatch(value):
        raise InvalidArgument.of(param, "Neither a URL nor the id of a picture.", reason="INVALID_IMAGE_URL")
    return value
