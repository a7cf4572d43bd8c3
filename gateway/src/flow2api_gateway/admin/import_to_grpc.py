"""Imports of tokens, in every form that administrators have them in, as requests of the token-service.

JSON: a list of objects as ``POST /admin/tokens`` takes them, the same in ``tokens``, or ``export`` (an answer of
``POST /admin/tokens/export``) with its ``passphrase``. Text: one session token a line; empty lines and those that begin
with ``#`` are passed over.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import orjson
from pydantic import ValidationError

from flow2api_common.errors import InvalidArgument, RequestError
from flow2api_gateway.admin.admin_to_grpc import create_token_request
from flow2api_gateway.admin.schemas import TokenCreateBody
from flow2api_gateway.edge.bodies import nul_character
from flow2api_gateway.edge.validation import argument_error
from flow2api_proto.tokens.v1 import token_service_pb2

_MAX_TOKENS: Final = 1000
# The original's own export calls the session token so.
_ALIASES: Final = {"session_token": "st"}


@dataclass(frozen=True, slots=True)
class ReadImport:
    """What the token-service is asked; ``refused`` are the entries, by their place, that never get there."""

    request: token_service_pb2.ImportTokensRequest
    refused: dict[int, RequestError]


def import_of_text(text: str) -> ReadImport:
    """One session token a line. Raises InvalidArgument."""
    lines = [line for raw in text.splitlines() if (line := raw.strip()) and not line.startswith("#")]
    return _import_of_entries([{"st": line} for line in lines])


def import_of_json(body: bytes) -> ReadImport:
    """A list, or an object with ``tokens`` or ``export``. Raises InvalidArgument."""
    try:
        parsed = orjson.loads(body)
    except orjson.JSONDecodeError:
        # The cause quotes the body.
        raise InvalidArgument("The request body is not valid JSON.", reason="INVALID_JSON") from None
    if isinstance(parsed, dict) and "export" in parsed:
        return _import_of_export(parsed["export"], parsed.get("passphrase"))
    entries = parsed.get("tokens") if isinstance(parsed, dict) else parsed
    if not isinstance(entries, list):
        raise InvalidArgument.of("tokens", "'tokens' must be a list.", reason="INVALID_TYPE")
    return _import_of_entries(entries)


def _import_of_export(export: Any, passphrase: Any) -> ReadImport:
    if not isinstance(passphrase, str) or not passphrase:
        raise InvalidArgument.of("passphrase", "Missing required parameter: 'passphrase'.", reason="MISSING_PARAMETER")
    sealed = export if isinstance(export, str) else orjson.dumps(export).decode()
    return ReadImport(token_service_pb2.ImportTokensRequest(sealed=sealed, passphrase=passphrase), {})


def _import_of_entries(entries: list[Any]) -> ReadImport:
    if not 1 <= len(entries) <= _MAX_TOKENS:
        raise InvalidArgument.of("tokens", f"An import has 1 to {_MAX_TOKENS} tokens.")
    creations: list[token_service_pb2.CreateTokenRequest] = []
    refused: dict[int, RequestError] = {}
    for at, entry in enumerate(entries):
        try:
            creations.append(create_token_request(_body(entry)))
        except RequestError as error:
            refused[at] = error
    return ReadImport(token_service_pb2.ImportTokensRequest(tokens=creations), refused)


def _body(entry: Any) -> TokenCreateBody:
    if not isinstance(entry, dict):
        raise InvalidArgument("A token must be an object.", reason="INVALID_TYPE")
    fields = {_ALIASES.get(name, name): value for name, value in entry.items()}
    if any("\0" in value for value in fields.values() if isinstance(value, str)):
        raise nul_character()
    try:
        return TokenCreateBody.model_validate(fields, strict=True)
    except ValidationError as exc:
        raise argument_error(exc, fields) from None
