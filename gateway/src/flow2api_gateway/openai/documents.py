"""How endpoints say in the OpenAPI document what they take and answer; bodies are read by ourselves, after the key."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

ERROR_SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["message", "type", "param", "code"],
            "properties": {
                "message": {"type": "string"},
                "type": {"type": "string"},
                "param": {"type": ["string", "null"]},
                "code": {"type": ["string", "null"]},
            },
        }
    },
}
ERRORS: dict[int | str, dict[str, Any]] = {
    "default": {"description": "An error.", "content": {"application/json": {"schema": ERROR_SCHEMA}}}
}


def takes_json(model: type[BaseModel]) -> dict[str, Any]:
    """``openapi_extra`` of an endpoint that takes a JSON body."""
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": _schema(model)}}}}


def takes_json_or_form(model: type[BaseModel]) -> dict[str, Any]:
    """``openapi_extra`` of an endpoint that takes a JSON body or a form with the same fields."""
    content = {"application/json": {"schema": _schema(model)}, "multipart/form-data": {"schema": {"type": "object"}}}
    return {"requestBody": {"required": True, "content": content}}


def _schema(model: type[BaseModel]) -> dict[str, Any]:
    schema = model.model_json_schema()
    definitions = schema.pop("$defs", {})
    inlined: dict[str, Any] = _inlined(schema, definitions)
    return inlined


def _inlined(node: Any, definitions: dict[str, Any]) -> Any:
    if isinstance(node, dict):
        reference = node.get("$ref")
        if isinstance(reference, str):
            return _inlined(definitions[reference.rpartition("/")[2]], definitions)
        return {name: _inlined(value, definitions) for name, value in node.items()}
    if isinstance(node, list):
        return [_inlined(item, definitions) for item in node]
    return node
