"""A validation error as OpenAI tells it: one field, by the path that the client would write."""

from __future__ import annotations

from typing import Any, Final

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from flow2api_common.errors import InvalidArgument

_TYPE_NAMES: Final = {
    "string_type": "a string",
    "int_type": "an integer",
    "int_parsing": "an integer",
    "int_from_float": "an integer",
    "float_type": "a number",
    "float_parsing": "a number",
    "bool_type": "a boolean",
    "bool_parsing": "a boolean",
    "list_type": "an array",
    "dict_type": "an object",
    "model_type": "an object",
    "model_attributes_type": "an object",
}


def argument_error(error: ValidationError, fields: object) -> InvalidArgument:
    """The first mistake of ``error`` as an InvalidArgument; ``fields`` is what was validated."""
    details = error.errors(include_url=False, include_context=False)
    # A union reports every alternative; the deepest path is the one that the client meant.
    first = max(details, key=lambda detail: len(_known_steps(detail["loc"], fields)))
    steps = _known_steps(first["loc"], fields)
    if first["type"] == "missing":
        param = param_path([*steps, first["loc"][-1]])
        return InvalidArgument.of(param, f"Missing required parameter: '{param}'.", reason="MISSING_PARAMETER")
    param = param_path(steps)
    wrong_types = _expected_types(details, steps, fields)
    if wrong_types:
        message = f"Invalid type for '{param}': expected {' or '.join(wrong_types)}."
        return InvalidArgument.of(param, message, reason="INVALID_TYPE")
    message = f"Invalid value for '{param}': {_sentence(first['msg'])}"
    return InvalidArgument.of(param, message, reason="INVALID_VALUE")


def param_path(steps: list[str | int]) -> str:
    """``["messages", 0, "content"]`` as ``messages[0].content``."""
    path = ""
    for step in steps:
        if isinstance(step, int):
            path += f"[{step}]"
        else:
            path += f".{step}" if path else step
    return path


def _known_steps(loc: tuple[int | str, ...], fields: object) -> list[str | int]:
    """The steps of a location that lead into what the client sent; pydantic adds names of union members between."""
    steps: list[str | int] = []
    here: Any = fields
    for step in loc:
        inside_object = isinstance(here, dict) and step in here
        inside_array = isinstance(here, list) and isinstance(step, int) and step < len(here)
        if inside_object or inside_array:
            steps.append(step)
            here = here[step]
    return steps


def _expected_types(details: list[ErrorDetails], steps: list[str | int], fields: object) -> list[str]:
    names = [
        _TYPE_NAMES[detail["type"]]
        for detail in details
        if detail["type"] in _TYPE_NAMES and _known_steps(detail["loc"], fields) == steps
    ]
    return list(dict.fromkeys(names))


def _sentence(message: str) -> str:
    text = message.removeprefix("Value error, ")
    return text if text.endswith(".") else f"{text}."
