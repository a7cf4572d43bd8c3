"""How endpoints say in the OpenAPI document what they take and answer; bodies are read by ourselves, after the key."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from pydantic import BaseModel

from flow2api_gateway.errors.openai_table import RULES_BY_REASON

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
MEANINGS: Final[Mapping[int, str]] = {
    400: "The request is wrong: the message says what, `param` where.",
    401: "No key, or one that does not fit.",
    403: "The key, or the link, does not allow this.",
    404: "There is no such thing.",
    405: "Not for this method.",
    408: "The body did not come in time.",
    409: "Another request, or the state of the thing, is in the way.",
    413: "The body is too large.",
    415: "The body is of a type that is not taken.",
    429: "Too much at once, or no quota left.",
    431: "The URL and the headers are too large.",
    500: "A fault of ours.",
    502: "The upstream failed.",
    503: "Not available right now.",
    504: "The upstream took too long.",
}
"""What the statuses of errors mean."""

_EXAMPLE: Final = {
    "error": {
        "message": "Invalid size '0x0'. Use 'auto' or a size such as '1024x1024'.",
        "type": "invalid_request_error",
        "param": "size",
        "code": "invalid_value",
    }
}


def _error(status: int) -> dict[str, Any]:
    content: dict[str, Any] = {"schema": ERROR_SCHEMA}
    if status == 400:
        content["example"] = _EXAMPLE
    return {"description": MEANINGS[status], "content": {"application/json": content}}


ERRORS: dict[int | str, dict[str, Any]] = {
    status: _error(status) for status in sorted({rule.status for rule in RULES_BY_REASON.values()})
}
"""Every status that the table of errors knows."""


def answers(
    example: Any,
    *,
    description: str = "Done.",
    required: tuple[str, ...] = (),
    others: Mapping[str, str] | None = None,
) -> dict[int | str, dict[str, Any]]:
    """``responses`` of an endpoint that answers a JSON object with these members, or one of the errors.

    ``others``: further content types and what they are.
    """
    schema = {"type": "object", "required": list(required or example)}
    content: dict[str, Any] = {"application/json": {"schema": schema, "example": example}}
    for content_type, what in (others or {}).items():
        content[content_type] = {"schema": {"type": "string", "description": what}}
    return {200: {"description": description, "content": content}, **ERRORS}


def answers_later(responses: Mapping[int | str, dict[str, Any]], example: Any) -> dict[int | str, dict[str, Any]]:
    """``responses`` of an endpoint that answers like this, or 202 and a job where the client prefers that."""
    text = {"schema": {"type": "string"}}
    accepted = {
        "description": "With `Prefer: respond-async`: a job, which is durable now, to look for at `Location`.",
        "headers": {
            "Location": {"description": "Where the job is.", **text},
            "Retry-After": {"description": "Seconds until the next look.", **text},
            "Preference-Applied": {"description": "The preferences that were followed.", **text},
        },
        "content": {"application/json": {"schema": {"type": "object", "required": list(example)}, "example": example}},
    }
    return {**responses, 202: accepted}


PREFER_HEADER: Final[dict[str, Any]] = {
    "name": "Prefer",
    "in": "header",
    "required": False,
    "description": "`respond-async` for a job instead of the pictures; with `wait=n`, only when they take longer than "
    "so many seconds.",
    "schema": {"type": "string"},
    "example": "respond-async, wait=10",
}


def answers_bytes(description: str, *content_types: str) -> dict[int | str, dict[str, Any]]:
    """``responses`` of an endpoint that answers a file, whole, in part, or not at all when it is known."""
    file = {"schema": {"type": "string", "format": "binary"}}
    content = dict.fromkeys(content_types, file)
    return {
        200: {"description": description, "content": content},
        206: {"description": "One range of it.", "content": content},
        304: {"description": "It is what the client has."},
        416: {"description": "The range lies outside."},
        **ERRORS,
    }


def takes_json(model: type[BaseModel], example: Any = None) -> dict[str, Any]:
    """``openapi_extra`` of an endpoint that takes a JSON body."""
    return {"requestBody": {"required": True, "content": {"application/json": _body(model, example)}}}


def takes_json_or_form(model: type[BaseModel], example: Any = None) -> dict[str, Any]:
    """``openapi_extra`` of an endpoint that takes a JSON body or a form with the same fields."""
    content = {
        "application/json": _body(model, example),
        "multipart/form-data": {"schema": _schema(model)},
    }
    return {"requestBody": {"required": True, "content": content}}


def _body(model: type[BaseModel], example: Any) -> dict[str, Any]:
    body: dict[str, Any] = {"schema": _schema(model)}
    if example is not None:
        body["example"] = example
    return body


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
