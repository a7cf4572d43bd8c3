"""Accounts that gateway tests are answered with."""

# ruff: noqa: N802 - the servicers have the names of the RPCs.

from __future__ import annotations

from typing import Any

from flow2api_common.errors import (
    Conflict,
    InvalidArgument,
    NotFound,
)
from flow2api_proto.tokens.v1 import (
    token_pb2,
    token_service_pb2,
    token_service_pb2_grpc,
)


class FakeTokens(token_service_pb2_grpc.TokenServiceServicer):
    """A pool in a dict."""

    def __init__(self) -> None:
        self.tokens: dict[int, token_pb2.Token] = {}
        self.secrets: dict[int, str] = {}
        self.updates: list[token_service_pb2.UpdateTokenRequest] = []

    def _get(self, token_id: int) -> token_pb2.Token:
        if token_id not in self.tokens:
            raise NotFound("There is no such token.", reason="TOKEN_NOT_FOUND")
        return self.tokens[token_id]

    async def CreateToken(self, request: Any, context: Any) -> Any:
        if request.secret in self.secrets.values():
            raise Conflict("The secret is in the pool.", reason="TOKEN_EXISTS")
        if request.secret == "dead":
            raise InvalidArgument.of("secret", "The upstream refuses the secret.")
        token_id = len(self.tokens) + 1
        self.secrets[token_id] = request.secret
        self.tokens[token_id] = token_pb2.Token(
            token_id=token_id,
            provider=request.provider,
            masked_secret=f"…{request.secret[-4:]}",
            email="a@b.example",
            remark=request.remark,
            state=token_pb2.TOKEN_STATE_ACTIVE,
            tier=token_pb2.TIER_ONE,
            credits=990,
            image_enabled=request.image_enabled if request.HasField("image_enabled") else True,
            video_enabled=True,
            image_concurrency=request.image_concurrency if request.HasField("image_concurrency") else -1,
            video_concurrency=-1,
        )
        return token_service_pb2.CreateTokenResponse(token=self.tokens[token_id])

    async def GetToken(self, request: Any, context: Any) -> Any:
        return token_service_pb2.GetTokenResponse(token=self._get(request.token_id))

    async def ListTokens(self, request: Any, context: Any) -> Any:
        return token_service_pb2.ListTokensResponse(tokens=self.tokens.values(), total_size=len(self.tokens))

    async def UpdateToken(self, request: Any, context: Any) -> Any:
        self.updates.append(request)
        token = self._get(request.token.token_id)
        request.update_mask.paths[:] = [
            path for path in request.update_mask.paths if path not in ("secret", "proxy_url")
        ]
        request.update_mask.MergeMessage(request.token, token)
        return token_service_pb2.UpdateTokenResponse(token=token)

    async def DeleteToken(self, request: Any, context: Any) -> Any:
        self._get(request.token_id)
        del self.tokens[request.token_id]
        return token_service_pb2.DeleteTokenResponse()

    async def EnableToken(self, request: Any, context: Any) -> Any:
        self._get(request.token_id).state = token_pb2.TOKEN_STATE_ACTIVE
        return token_service_pb2.EnableTokenResponse(token=self._get(request.token_id))

    async def DisableToken(self, request: Any, context: Any) -> Any:
        token = self._get(request.token_id)
        token.state, token.state_reason = token_pb2.TOKEN_STATE_DISABLED, request.reason or "admin"
        return token_service_pb2.DisableTokenResponse(token=token)

    async def RefreshToken(self, request: Any, context: Any) -> Any:
        return token_service_pb2.RefreshTokenResponse(token=self._get(request.token_id))

    async def GetPoolStats(self, request: Any, context: Any) -> Any:
        return token_service_pb2.GetPoolStatsResponse(
            token_count=len(self.tokens), token_count_by_state={"active": len(self.tokens)}, credits=7
        )

    async def AcquireLease(self, request: Any, context: Any) -> Any:
        raise NotImplementedError

    RenewLeases = ReleaseLease = GetCredential = AcquireLease
