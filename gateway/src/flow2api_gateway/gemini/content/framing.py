"""The two forms of a streamed answer: server-sent events, and one JSON array that grows.

Source: docs/upstream/google-official.md, section 5 (Streaming).
"""

from __future__ import annotations

from typing import Any, Final, Protocol

import orjson

from flow2api_common.errors import Flow2APIError
from flow2api_gateway.errors.google_errors import render_google_error

# An empty line means nothing in either form. The google-genai SDK takes a comment of server-sent events for JSON.
BLANK: Final = b"\r\n"


class Framing(Protocol):
    """Writes the documents of one answer."""

    media_type: str

    def write(self, document: dict[str, Any]) -> bytes:
        """One more document."""
        ...

    def end(self) -> bytes:
        """What follows the last one."""
        ...


class EventFraming:
    """``data:`` lines; the end of the connection is the end."""

    media_type = "text/event-stream"

    def write(self, document: dict[str, Any]) -> bytes:
        """One event."""
        return b"data: " + orjson.dumps(document) + b"\r\n\r\n"

    def end(self) -> bytes:
        """Nothing."""
        return b""


class ArrayFraming:
    """Elements of one array."""

    media_type = "application/json"

    def __init__(self) -> None:
        self._opened = False

    def write(self, document: dict[str, Any]) -> bytes:
        """One element."""
        opening, self._opened = (b"," if self._opened else b"["), True
        return opening + orjson.dumps(document) + b"\r\n"

    def end(self) -> bytes:
        """The bracket."""
        return b"]" if self._opened else b"[]"


def written_error(framing: Framing, error: Flow2APIError) -> bytes:
    """An error in the middle, which ends the answer."""
    return framing.write(render_google_error(error).body) + framing.end()
