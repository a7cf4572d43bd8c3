"""Request bodies: read within a limit, parsed, checked for form."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator
from typing import Any, Final, TypeVar

import orjson
from pydantic import BaseModel, ValidationError
from starlette.requests import Request

from flow2api_common.errors import InvalidArgument, RequestError
from flow2api_gateway.edge.validation import argument_error

ModelT = TypeVar("ModelT", bound=BaseModel)

# Above this a document is parsed in a thread: a megabyte of JSON takes about a millisecond.
_PARSE_INLINE_BYTES: Final = 1 << 20
_JSON_TYPES: Final = frozenset({"", "application/json", "text/json"})
# A backslash that is not itself escaped, then u0000.
_ESCAPED_NUL: Final = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")


def content_type_of(request: Request) -> str:
    """The media type that the client declared, without parameters, lower case; empty if it declared none."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


async def limited_stream(request: Request, max_bytes: int) -> AsyncGenerator[bytes, None]:
    """The body in pieces.

    Raises RequestError REQUEST_TOO_LARGE by the declared length or when more comes, UNSUPPORTED_MEDIA_TYPE for a
    compressed one.
    """
    if request.headers.get("content-encoding", "identity").strip().lower() not in ("", "identity"):
        # What is unpacked could be of any size.
        raise RequestError("Compressed request bodies are not taken.", reason="UNSUPPORTED_MEDIA_TYPE")
    declared = request.headers.get("content-length", "")
    if declared.isdigit() and int(declared) > max_bytes:
        raise too_large(max_bytes)
    seen = 0
    async for chunk in request.stream():
        seen += len(chunk)
        if seen > max_bytes:
            raise too_large(max_bytes)
        yield chunk


def nul_character() -> InvalidArgument:
    """The error of a text with U+0000: nobody means it, and PostgreSQL cannot keep it."""
    return InvalidArgument("The request has a NUL character.", reason="INVALID_VALUE")


def too_large(max_bytes: int) -> RequestError:
    """The error of a body above the limit."""
    return RequestError(f"The request body is larger than {max_bytes} bytes.", reason="REQUEST_TOO_LARGE")


async def read_json_object(request: Request, max_bytes: int) -> dict[str, Any]:
    """The JSON object in the body.

    Raises RequestError (415, 413) and InvalidArgument INVALID_JSON, INVALID_TYPE, INVALID_VALUE.
    """
    declared_type = content_type_of(request)
    if declared_type not in _JSON_TYPES and not declared_type.endswith("+json"):
        raise RequestError(
            f"Unsupported content type '{declared_type[:100]}'. Send application/json.", reason="UNSUPPORTED_MEDIA_TYPE"
        )
    body = b"".join([chunk async for chunk in limited_stream(request, max_bytes)])
    try:
        parsed = orjson.loads(body) if len(body) <= _PARSE_INLINE_BYTES else await asyncio.to_thread(orjson.loads, body)
    except orjson.JSONDecodeError as exc:
        raise InvalidArgument("The request body is not valid JSON.", reason="INVALID_JSON") from exc
    if not isinstance(parsed, dict):
        raise InvalidArgument("The request body must be a JSON object.", reason="INVALID_TYPE")
    if b"u0000" in body and _ESCAPED_NUL.search(body):
        raise nul_character()
    return parsed


def validated(model: type[ModelT], fields: dict[str, Any], *, strict: bool) -> ModelT:
    """The typed request. ``strict`` refuses numbers in strings (JSON); forms have nothing but strings.

    Raises InvalidArgument naming the first wrong field by the client's path to it.
    """
    try:
        return model.model_validate(fields, strict=strict)
    except ValidationError as exc:
        raise argument_error(exc, fields) from exc


async def read_json(request: Request, model: type[ModelT], max_bytes: int) -> ModelT:
    """The typed request of a JSON body; the errors are those of `read_json_object` and `validated`."""
    return validated(model, await read_json_object(request, max_bytes), strict=True)
