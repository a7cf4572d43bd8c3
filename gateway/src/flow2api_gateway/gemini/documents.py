"""Google's errors in the OpenAPI document."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from flow2api_gateway.errors.google_errors import GOOGLE_STATUSES
from flow2api_gateway.openai.documents import MEANINGS, answers_bytes

GOOGLE_ERROR_SCHEMA: Final[dict[str, Any]] = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["code", "message", "status"],
            "properties": {
                "code": {"type": "integer"},
                "message": {"type": "string"},
                "status": {"type": "string"},
                "details": {"type": "array", "items": {"type": "object"}},
            },
        }
    },
}
_INTERACTION_ERROR_SCHEMA: Final[dict[str, Any]] = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["code", "message"],
            "properties": {"code": {"type": "string"}, "message": {"type": "string"}},
        }
    },
}
_TEXT: Final = {"schema": {"type": "string"}}


def _errors(schema: dict[str, Any]) -> dict[int | str, dict[str, Any]]:
    content = {"application/json": {"schema": schema}}
    return {status: {"description": MEANINGS[status], "content": content} for status in GOOGLE_STATUSES}


GOOGLE_ERRORS: Final[dict[int | str, dict[str, Any]]] = _errors(GOOGLE_ERROR_SCHEMA)
"""Every status that Google's clients may be answered."""

INTERACTION_ERRORS: Final[dict[int | str, dict[str, Any]]] = _errors(_INTERACTION_ERROR_SCHEMA)


def streams(errors: Mapping[int | str, dict[str, Any]], description: str) -> dict[int | str, dict[str, Any]]:
    """``responses`` of an endpoint that answers JSON, or server-sent events to who asks for them."""
    content = {"application/json": {"schema": {}}, "text/event-stream": _TEXT}
    return {200: {"description": description, "content": content}, **errors}


def google_file_bytes(description: str) -> dict[int | str, dict[str, Any]]:
    """``responses`` of an endpoint that answers a file, whole, in part, or not at all when it is known."""
    return answers_bytes(description, "image/png", "image/jpeg", "image/webp", "video/mp4") | GOOGLE_ERRORS
