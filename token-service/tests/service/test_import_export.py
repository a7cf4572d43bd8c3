"""Many tokens in, and out again; the secret of one."""

from __future__ import annotations

import pytest

from flow2api_common.errors import InvalidArgument, NotFound
from flow2api_common.grpc_client import rpc_errors
from flow2api_proto.access.v1 import access_service_pb2 as access_pb
from flow2api_proto.tokens.v1 import token_pb2
from flow2api_proto.tokens.v1 import token_service_pb2 as pb

PASSPHRASE = "a long passphrase"


def creation(secret, **fields) -> pb.CreateTokenRequest:
    return pb.CreateTokenRequest(secret=secret, **fields)


async def add_all(tokens, *creations, **whole):
    with rpc_errors("token"):
        answer = await tokens.ImportTokens(pb.ImportTokensRequest(tokens=creations, **whole))
    return [pb.ImportStatus.Name(result.status).removeprefix("IMPORT_STATUS_") for result in answer.results], answer


async def export(tokens, passphrase=PASSPHRASE, **which) -> pb.ExportTokensResponse:
    with rpc_errors("token"):
        return await tokens.ExportTokens(pb.ExportTokensRequest(passphrase=passphrase, **which))


async def test_each_token_has_a_result_of_its_own(tokens):
    creations = [
        creation("sandbox-st-1", remark="first"),
        creation("no-such-session"),
        creation("sandbox-st-1"),
        creation(""),
        creation("sandbox-key-1", provider="gemini"),
        creation("x", provider="nobody"),
    ]
    statuses, answer = await add_all(tokens, *creations)
    again, answer_again = await add_all(tokens, creations[0])

    assert statuses == ["ADDED", "FAILED", "EXISTS", "FAILED", "ADDED", "FAILED"]
    assert [result.reason for result in answer.results[1:4]] == ["SECRET_REFUSED", "TOKEN_EXISTS", "INVALID_VALUE"]
    assert again == ["EXISTS"]
    assert answer_again.results[0].token_id == answer.results[0].token_id
    assert (await tokens.ListTokens(pb.ListTokensRequest())).total_size == 2


async def test_export_goes_into_another_pool(tokens, start_replica, tmp_path):
    limits = [token_pb2.ModelLimit(upstream_model="veo-*", requests_per_minute=5)]
    mine = creation("sandbox-st-1", remark="mine", image_concurrency=3, model_limits=limits)
    await add_all(tokens, mine, creation("sandbox-st-2"))
    exported = await export(tokens)
    kept = (await tokens.ListTokens(pb.ListTokensRequest())).tokens

    statuses, _ = await add_all(tokens, sealed=exported.sealed, passphrase=PASSPHRASE)
    assert statuses == ["EXISTS", "EXISTS"]
    for token in kept:
        await tokens.DeleteToken(pb.DeleteTokenRequest(token_id=token.token_id))
    statuses, _ = await add_all(tokens, sealed=exported.sealed, passphrase=PASSPHRASE)

    assert statuses == ["ADDED", "ADDED"]
    back = (await tokens.ListTokens(pb.ListTokensRequest())).tokens
    # Several are proved at the same time: which comes first is not said.
    assert {(t.remark, t.image_concurrency, t.email) for t in back} == {
        (t.remark, t.image_concurrency, t.email) for t in kept
    }
    assert [list(t.model_limits) for t in back if t.remark == "mine"] == [limits]
    assert "sandbox-st" not in exported.sealed


async def test_export_names_what_is_wrong(tokens):
    await add_all(tokens, creation("sandbox-st-1"))

    with pytest.raises(InvalidArgument, match="passphrase"):
        await export(tokens, passphrase="short")
    with pytest.raises(NotFound):
        await export(tokens, token_ids=[4711])
    sealed = (await export(tokens)).sealed
    with pytest.raises(InvalidArgument, match="does not open"):
        await add_all(tokens, sealed=sealed, passphrase="another passphrase")
    with pytest.raises(InvalidArgument):
        await add_all(tokens)


async def test_reveal_and_export_are_in_the_audit_log(tokens, access):
    _, added = await add_all(tokens, creation("sandbox-st-1"))
    token_id = added.results[0].token_id

    revealed = await tokens.RevealToken(pb.RevealTokenRequest(token_id=token_id))
    await export(tokens, token_ids=[token_id])

    assert (revealed.provider, revealed.secret[:7]) == ("flow", "sandbox")
    entries = (await access.ListAuditLog(access_pb.ListAuditLogRequest())).entries
    assert [(entry.action, entry.target, entry.detail, entry.outcome) for entry in reversed(entries)] == [
        ("token.import", "", "added: 1", "ok"),
        ("token.reveal", f"token/{token_id}", "", "ok"),
        ("token.export", "", f"tokens: {token_id}", "ok"),
    ]
