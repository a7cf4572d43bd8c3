"""Request bodies: read within a limit, parsed, checked for form."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any, Final, TypeVar

import orjson
from pydantic import BaseModel, ValidationError
from starlette.requests import Request

from flow2api_common.byte_turns import ByteTurns
from flow2api_common.errors import DependencyUnavailable, InvalidArgument, RequestError
from flow2api_common.file_bytes import FileBytes, FileBytesWriter
from flow2api_gateway.edge.kept_pictures import NO_PICTURES, PicturePlaces, keep_pictures
from flow2api_gateway.edge.validation import argument_error

ModelT = TypeVar("ModelT", bound=BaseModel)

# Above this a document waits in a file for its turn to be parsed, in a thread: a megabyte takes about a millisecond.
_PARSE_INLINE_BYTES: Final = 1 << 20
_PIECE_BYTES: Final = 256 * 1024
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


async def read_json_object(
    request: Request, max_bytes: int, *, pictures: PicturePlaces = NO_PICTURES
) -> dict[str, Any]:
    """The JSON object in the body; in large ones, names of `kept_picture` are where ``pictures`` are.

    Raises RequestError (415, 413), InvalidArgument INVALID_JSON, INVALID_TYPE, INVALID_VALUE, and DependencyUnavailable
    when there is no room for a temporary file.
    """
    declared_type = content_type_of(request)
    if declared_type not in _JSON_TYPES and not declared_type.endswith("+json"):
        raise RequestError(
            f"Unsupported content type '{declared_type[:100]}'. Send application/json.", reason="UNSUPPORTED_MEDIA_TYPE"
        )
    body = await _received(limited_stream(request, max_bytes))
    if isinstance(body, bytes):
        return _parsed(body)
    turns: ByteTurns = request.app.state.body_turns
    async with turns.turn(len(body)):
        with _file_errors():
            return await asyncio.to_thread(_read_large, body, pictures)


async def _received(chunks: AsyncIterator[bytes]) -> bytes | FileBytes:
    """The whole body; a large one in a temporary file."""
    collected: list[bytes] = []
    collected_bytes, most_bytes = 0, _PARSE_INLINE_BYTES
    writer: FileBytesWriter | None = None
    try:
        async for chunk in chunks:
            collected.append(chunk)
            collected_bytes += len(chunk)
            if collected_bytes > most_bytes:
                with _file_errors():
                    writer = writer or FileBytesWriter()
                    await asyncio.to_thread(writer.write, b"".join(collected))
                collected, collected_bytes, most_bytes = [], 0, _PIECE_BYTES
        if writer is None:
            return b"".join(collected)
        with _file_errors():
            await asyncio.to_thread(writer.write, b"".join(collected))
            return writer.finish()
    finally:
        if writer is not None:
            writer.discard()


def _read_large(body: FileBytes, pictures: PicturePlaces) -> dict[str, Any]:
    document = _parsed(body.read_at(0, len(body)))
    keep_pictures(document, pictures)
    return document


@contextmanager
def _file_errors() -> Iterator[None]:
    try:
        yield
    except OSError as exc:
        raise DependencyUnavailable(
            "there is no room for a temporary file", metadata={"dependency": "temporary files"}
        ) from exc


def _parsed(body: bytes) -> dict[str, Any]:
    try:
        parsed = orjson.loads(body)
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


async def read_json(
    request: Request, model: type[ModelT], max_bytes: int, *, pictures: PicturePlaces = NO_PICTURES
) -> ModelT:
    """The typed request of a JSON body; the errors are those of `read_json_object` and `validated`."""
    return validated(model, await read_json_object(request, max_bytes, pictures=pictures), strict=True)
