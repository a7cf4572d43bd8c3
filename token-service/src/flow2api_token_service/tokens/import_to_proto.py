"""Imports, from gRPC messages to our values and back."""

from __future__ import annotations

from collections.abc import Sequence

from flow2api_common.errors import Flow2APIError, InvalidArgument
from flow2api_proto.tokens.v1 import token_service_pb2 as pb
from flow2api_token_service.tokens.create import NewToken
from flow2api_token_service.tokens.export import ExportedToken, open_export
from flow2api_token_service.tokens.import_tokens import ImportResult, ImportStatus
from flow2api_token_service.tokens.proto_to_token import new_token

MAX_TOKENS = 1000

_STATUS_TO_PROTO = {
    ImportStatus.ADDED: pb.IMPORT_STATUS_ADDED,
    ImportStatus.EXISTS: pb.IMPORT_STATUS_EXISTS,
    ImportStatus.FAILED: pb.IMPORT_STATUS_FAILED,
}


async def read_import(request: pb.ImportTokensRequest) -> list[NewToken | Flow2APIError]:
    """The tokens to add; in the place of one that is wrong, why. Raises InvalidArgument about the whole."""
    if bool(request.sealed) == bool(request.tokens):
        raise InvalidArgument.of("tokens", "Either tokens or an export is required.")
    messages: Sequence[pb.CreateTokenRequest] = request.tokens
    if request.sealed:
        messages = [_creation(token) for token in await open_export(request.sealed, request.passphrase)]
    elif len(messages) > MAX_TOKENS:
        raise InvalidArgument.of("tokens", f"At most {MAX_TOKENS} tokens in one call.")
    return [_read(message) for message in messages]


def import_result_to_proto(result: ImportResult) -> pb.ImportResult:
    """What became of one token."""
    return pb.ImportResult(
        status=_STATUS_TO_PROTO[result.status],
        token_id=result.token_id,
        reason=result.reason,
        message=result.message,
    )


def _read(message: pb.CreateTokenRequest) -> NewToken | Flow2APIError:
    try:
        return new_token(message)
    except InvalidArgument as error:
        return error


def _creation(token: ExportedToken) -> pb.CreateTokenRequest:
    fields = token.model_dump(exclude={"secret", "proxy_url"})
    return pb.CreateTokenRequest(
        **fields, secret=token.secret.get_secret_value(), proxy_url=token.proxy_url.get_secret_value()
    )
