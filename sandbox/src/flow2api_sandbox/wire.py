"""JSON in and out, fast, and strict about what comes in."""

import base64
import binascii
from collections.abc import Mapping
from typing import Any

import pydantic_core
from starlette.responses import Response

JSON_HEADERS = {"content-type": "application/json; charset=UTF-8"}


def json_response(body: Any, *, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """An answer with a JSON body."""
    return Response(pydantic_core.to_json(body), status_code=status, headers={**JSON_HEADERS, **(headers or {})})


def read_json(body: bytes) -> Any:
    """The parsed body. Raises ``ValueError`` when it is not JSON."""
    return pydantic_core.from_json(body)


def encode_base64(content: bytes) -> str:
    """Standard base64 with padding."""
    return base64.b64encode(content).decode("ascii")


def decode_base64(text: str, *, url_safe_too: bool) -> bytes:
    """The bytes. Raises ``ValueError`` on anything but clean base64 (padding may lack in the URL-safe form)."""
    if url_safe_too:
        text = text.replace("-", "+").replace("_", "/")
        text += "=" * (-len(text) % 4)
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error as exc:
        raise ValueError(str(exc)) from exc
