"""Google's errors in the OpenAPI document."""

from __future__ import annotations

from typing import Any, Final

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
GOOGLE_ERRORS: Final[dict[int | str, dict[str, Any]]] = {
    "default": {"description": "An error.", "content": {"application/json": {"schema": GOOGLE_ERROR_SCHEMA}}}
}
INTERACTION_ERRORS: Final[dict[int | str, dict[str, Any]]] = {
    "default": {
        "description": "An error.",
        "content": {
            "application/json": {
                "schema": {
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
            }
        },
    }
}
