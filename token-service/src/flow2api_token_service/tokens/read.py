"""Reading tokens: what SQL has, with what only Redis knows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from flow2api_common.clock import Clock
from flow2api_common.database import Database
from flow2api_proto.tokens.v1 import token_pb2, token_service_pb2
from flow2api_token_service.health.states import TokenState
from flow2api_token_service.leases.pool_index import PoolIndex
from flow2api_token_service.tokens.models import TokenRow
from flow2api_token_service.tokens.repository import TokenRepository
from flow2api_token_service.tokens.token_to_proto import counters_to_proto, token_to_proto

_BY_PERSONS: Final = ("create", "enable", "update")


@dataclass(frozen=True, slots=True)
class TokenPage:
    """Some tokens, whether there are more, and how many match in all."""

    tokens: list[token_pb2.Token]
    has_more: bool
    total_size: int


class TokenReader:
    """The use cases behind GetToken, ListTokens and GetPoolStats."""

    def __init__(self, *, database: Database, index: PoolIndex, clock: Clock) -> None:
        self._database = database
        self._index = index
        self._clock = clock

    async def get(self, token_id: int) -> token_pb2.Token:
        """One token. Raises NotFound."""
        async with self._database.transaction(read_only=True) as session:
            row = await TokenRepository(session).get(token_id)
        return (await self.described([row]))[0]

    async def page(self, *, after_id: int, limit: int, provider: str, state: TokenState | None) -> TokenPage:
        """Tokens by ascending id."""
        now = self._clock()
        async with self._database.transaction(read_only=True) as session:
            tokens = TokenRepository(session)
            rows = await tokens.page(after_id=after_id, limit=limit + 1, provider=provider, state=state, now=now)
            total = await tokens.count(provider=provider, state=state, now=now)
        return TokenPage(await self.described(rows[:limit]), len(rows) > limit, total)

    async def has_new(self, provider: str, since: datetime) -> bool:
        """Whether a person has brought a token of a provider into use since a time: a new one, or one that was away."""
        async with self._database.transaction(read_only=True) as session:
            return await TokenRepository(session).has_new(provider, since, causes=_BY_PERSONS)

    async def described(self, rows: Sequence[TokenRow]) -> list[token_pb2.Token]:
        """The rows as messages, with their live leases and unwritten counters."""
        live = await self._index.read_live([row.id for row in rows])
        now = self._clock()
        return [token_to_proto(row, live=live.tokens[row.id], now=now) for row in rows]

    async def pool_stats(self) -> token_service_pb2.GetPoolStatsResponse:
        """Numbers of the whole pool; counters are a few seconds old."""
        now = self._clock()
        async with self._database.transaction(read_only=True) as session:
            states, sums = await TokenRepository(session).totals(now)
        live = await self._index.read_live([])
        return token_service_pb2.GetPoolStatsResponse(
            token_count=sum(states.values()),
            token_count_by_state={state.value: states.get(state, 0) for state in TokenState},
            image_leases=live.image_leases,
            video_leases=live.video_leases,
            stats=counters_to_proto(sums),
            credits=sums.credits or 0,
        )
