"""What differs between the official APIs in ``generateContent`` and ``interactions``, as functions.

Sources: docs/upstream/google-official.md, sections 2, 5 and 6.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from flow2api_sandbox.calls import Call
from flow2api_sandbox.credentials import Caller
from flow2api_sandbox.errors import ApiError
from flow2api_sandbox.gemini.access import identify_key
from flow2api_sandbox.gemini.catalog import model_not_found
from flow2api_sandbox.gemini.inputs import read_file_uri
from flow2api_sandbox.gemini.requests import GeminiGenerateContent, GenerateContent

ReadUri = Callable[[Call, Caller, str, str | None, frozenset[str]], Awaitable[bytes | None]]
"""Call, caller, URI, MIME type as said, MIME types that are allowed: the bytes, ``None`` for a generated clip."""


@dataclass(frozen=True, slots=True)
class PictureApi:
    """One API's side of ``generateContent``. ``bytes_at_most`` limits one file inside the request."""

    identify: Callable[[Call], Caller]
    request_type: type[GenerateContent]
    model_not_found: Callable[[Call, str, str], ApiError]
    read_uri: ReadUri
    bytes_at_most: int | None = None
    more_fields: Callable[[Call], dict[str, Any]] = lambda _call: {}
    more_usage: dict[str, Any] | None = None


GEMINI_PICTURES = PictureApi(
    identify=identify_key,
    request_type=GeminiGenerateContent,
    model_not_found=model_not_found,
    read_uri=read_file_uri,
)
