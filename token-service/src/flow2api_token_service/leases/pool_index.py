"""The index of the pool in Redis: chooses tokens, holds leases, counts.

SQL is the truth about tokens; the index is written after it and can be rebuilt from it (`leases/rebuild.py`).
Every method is one round trip and atomic. All raise DependencyUnavailable when Redis is away, and those that need the
whole index raise IndexMissing when it is not (completely) there. Keys: see ``scripts/_pool.lua``.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from redis.asyncio import Redis

from flow2api_common.errors import InternalError
from flow2api_token_service.leases.lua_values import (
    acquire_args,
    checked,
    entry_args,
    explain_args,
    lease_args,
    milliseconds,
    pairs_of,
    passed_of,
    refusal,
    share_args,
    summed,
    taken_lease,
    time_of,
)
from flow2api_token_service.leases.passed import Passed
from flow2api_token_service.leases.records import (
    Candidate,
    KeyShare,
    LeaseRecord,
    LeaseRequest,
    LivePool,
    LiveToken,
    PoolEntry,
    Refusal,
    Released,
    StatsBatch,
    Strategy,
    TakenLease,
    Verdict,
)
from flow2api_token_service.leases.script import PoolScript
from flow2api_token_service.redis_client import KEY_PREFIX, redis_errors

_EPOCH_KEY = f"{KEY_PREFIX}:epoch"
_RESTORING_KEY = f"{KEY_PREFIX}:restoring"
_TOKENS_KEY = f"{KEY_PREFIX}:tokens"
_BUILDING_KEY = f"{KEY_PREFIX}:building"
_STRATEGY_KEY = f"{KEY_PREFIX}:strategy"

_OUTCOME_MEMORY = timedelta(hours=1)


class PoolIndex:
    """Typed calls of the scripts. Safe for concurrent use."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._acquire = PoolScript(redis, "acquire")
        self._explain = PoolScript(redis, "explain")
        self._renew = PoolScript(redis, "renew")
        self._claim = PoolScript(redis, "claim")
        self._unclaim = PoolScript(redis, "unclaim")
        self._release = PoolScript(redis, "release")
        self._report_credits = PoolScript(redis, "report_credits")
        self._give_back = PoolScript(redis, "give_back")
        self._abandon = PoolScript(redis, "abandon")
        self._sweep = PoolScript(redis, "sweep")
        self._put_tokens = PoolScript(redis, "put_tokens")
        self._put_keys = PoolScript(redis, "put_keys")
        self._remove_tokens = PoolScript(redis, "remove_tokens")
        self._read_live = PoolScript(redis, "read_live")
        self._take_stats = PoolScript(redis, "take_stats")
        self._drop_stats = PoolScript(redis, "drop_stats")
        self._finish_build = PoolScript(redis, "finish_build")
        self._finish_restoring = PoolScript(redis, "finish_restoring")

    async def acquire(self, request: LeaseRequest) -> TakenLease | Refusal:
        """Choose a token and take a lease on it. A repeat with the same ``request_id`` gets the same lease."""
        answer = checked(await self._acquire(**acquire_args(request, place=None)))
        return taken_lease(answer, request) if answer["status"] == "leased" else refusal(answer)

    async def explain(self, request: LeaseRequest, *, count: int | None = None) -> tuple[Passed, ...]:
        """Why the first ``count`` candidates, or all, cannot be served now."""
        whole = len(request.candidates)
        return passed_of(await self._explain(**explain_args(request, count=whole if count is None else count)))

    async def where_it_is_nowhere(self, lease: LeaseRecord) -> str:
        """The token's provider, when every token of it that could serve the lease's model works where there is no such
        model; else empty."""
        with redis_errors():
            provider = await self._redis.hget(f"{KEY_PREFIX}:token:{lease.token_id}", "provider")
        if not provider:
            return ""
        request = LeaseRequest(
            lease_id="",
            request_id="",
            kind=lease.kind,
            candidates=(Candidate(provider=str(provider), upstream_model=lease.upstream_model),),
            api_key_id="",
            duration=timedelta(0),
        )
        (passed,) = await self.explain(request)
        return str(provider) if passed.is_nowhere else ""

    async def renew(self, leases: Sequence[LeaseRecord], duration: timedelta) -> list[datetime | None]:
        """Move the deadlines; None for a lease that was lost and could not be taken back in."""
        answer = checked(
            await self._renew(duration_ms=milliseconds(duration), leases=[lease_args(lease) for lease in leases])
        )
        deadline = time_of(answer["deadline_ms"])
        return [deadline if renewed else None for renewed in answer["renewed"]]

    async def claim_outcome(self, lease_id: str, nonce: str) -> bool:
        """Whether the outcome of this lease is the caller's to count; the same ``nonce`` is told the same again."""
        answer = await self._claim(lease_id=lease_id, nonce=nonce, keep_ms=milliseconds(_OUTCOME_MEMORY))
        return bool(answer["first"])

    async def unclaim_outcome(self, lease_id: str, nonce: str) -> None:
        """Give a claim back, so that the release can be repeated."""
        await self._unclaim(lease_id=lease_id, nonce=nonce)

    async def release(
        self,
        lease: LeaseRecord,
        *,
        nonce: str,
        verdict: Verdict,
        was_unused: bool = False,
        output_count: int = 0,
        remaining_credits: int | None = None,
        hold: timedelta = timedelta(0),
    ) -> Released:
        """End a lease, or hold it for a while longer, and count its outcome, each once.

        One that was unused does not count in its minute any more.
        """
        answer = await self._release(
            lease_id=lease.lease_id,
            token=str(lease.token_id),
            kind=lease.kind,
            model=lease.upstream_model,
            nonce=nonce,
            keep_ms=milliseconds(_OUTCOME_MEMORY),
            hold_ms=milliseconds(hold),
            verdict=verdict,
            unused=was_unused,
            outputs=output_count,
            credits=-1 if remaining_credits is None else remaining_credits,
        )
        return Released(was_live=answer["was_live"], is_first=answer["first"], is_sick=answer["sick"])

    async def report_credits(
        self, token_id: int, remaining_credits: int, *, age: timedelta, call_duration: timedelta
    ) -> None:
        """Take in what an account had left after a call; one that is older than what is known changes nothing."""
        await self._report_credits(
            token=str(token_id),
            credits=remaining_credits,
            age_ms=milliseconds(age),
            call_ms=milliseconds(call_duration),
        )

    async def give_back(self, request: LeaseRequest) -> None:
        """Leave the queue, and end the lease that nobody got, unless a repeat of the call has it by now."""
        await self._give_back(request_id=request.request_id, attempt=request.lease_id)

    async def abandon(self, request_id: str) -> bool:
        """End the lease that a request has got, whoever asked for it; tells whether it was live."""
        answer = await self._abandon(request_id=request_id)
        return bool(answer["was_live"])

    async def sweep(self) -> int:
        """End some leases past their deadline and wake some tokens; gives how many, to be called until 0."""
        return int(checked(await self._sweep())["freed"])

    async def put(self, entries: Sequence[PoolEntry], *, credits_are_fresh: bool = False) -> None:
        """Write tokens as SQL has them. Credits that the index has already win unless ``credits_are_fresh``."""
        if entries:
            await self._put_tokens(tokens=[entry_args(entry, credits_are_fresh=credits_are_fresh) for entry in entries])

    async def remove(self, token_ids: Sequence[int]) -> None:
        """Take tokens out. Their leases run to their end."""
        if token_ids:
            await self._remove_tokens(ids=[str(token_id) for token_id in token_ids])

    async def read_live(self, token_ids: Sequence[int]) -> LivePool:
        """Live leases and unwritten counters."""
        answer = await self._read_live(ids=[str(token_id) for token_id in token_ids])
        tokens = {
            token_id: LiveToken(answer["image"][at], answer["video"][at], summed(answer["stats"][at]))
            for at, token_id in enumerate(token_ids)
        }
        return LivePool(tokens, answer["all_image"], answer["all_video"])

    async def take_stats(self, batch_id: str, limit: int) -> StatsBatch | None:
        """Counters of some tokens; the same batch again until `drop_stats` has ended it. None when there are none."""
        answer = await self._take_stats(batch_id=batch_id, limit=limit)
        if answer is None:
            return None
        counters = {
            int(token_id): pairs_of(pairs) for token_id, pairs in zip(answer["tokens"], answer["stats"], strict=True)
        }
        return StatsBatch(answer["id"], counters)

    async def drop_stats(self, batch_id: str) -> None:
        """End a batch that SQL has."""
        await self._drop_stats(batch_id=batch_id)

    async def token_ids(self) -> set[int]:
        """The ids of all tokens in the index."""
        with redis_errors():
            return {int(token_id) for token_id in await self._redis.smembers(_TOKENS_KEY)}

    async def put_keys(self, shares: Sequence[KeyShare], *, replace_all: bool = False) -> None:
        """Write what API keys may do, and serve those who wait by it; older revisions change nothing, unless
        ``replace_all`` says that they are the truth."""
        if shares:
            await self._put_keys(keys=[share_args(share) for share in shares], all=replace_all)

    async def is_built(self) -> bool:
        """Whether the index is complete."""
        with redis_errors():
            return bool(await self._redis.exists(_EPOCH_KEY))

    async def put_strategy(self, strategy: Strategy) -> None:
        """Set which token is chosen; tokens take their new places when they are put or taken the next time."""
        with redis_errors():
            await self._redis.set(_STRATEGY_KEY, strategy)

    async def begin_restoring(self, limit: timedelta) -> None:
        """Begin no videos before `finish_restoring`, or for so long: leases that were lost come back first.

        A pool without tokens has none to wait for.
        """
        with redis_errors():
            if await self._redis.scard(_TOKENS_KEY):
                await self._redis.set(_RESTORING_KEY, "open", px=limit, nx=True)

    async def finish_restoring(self, grace: timedelta) -> None:
        """Go on with videos after ``grace``; only the first call of a restoring counts."""
        await self._finish_restoring(grace_ms=max(milliseconds(grace), 1))

    async def is_restoring(self) -> bool:
        """Whether leases that were lost are being taken back in."""
        with redis_errors():
            return bool(await self._redis.exists(_RESTORING_KEY))

    async def mark_built(self, epoch: str) -> None:
        """Declare the index complete."""
        with redis_errors():
            await self._redis.set(_EPOCH_KEY, epoch)

    async def begin_build(self, mark: str) -> str:
        """Leave a mark that is gone when Redis is flushed; gives the one for `finish_build`. Builders share it."""
        with redis_errors():
            await self._redis.set(_BUILDING_KEY, mark, nx=True)
            return str(await self._redis.get(_BUILDING_KEY) or "")

    async def finish_build(self, mark: str) -> bool:
        """Declare the index complete; False, and nothing done, when the mark is gone and what was written with it."""
        answer = await self._finish_build(mark=mark)
        return bool(answer["is_whole"])

    async def server_id(self) -> str:
        """Another one after each start of Redis, and on another server; empty where Redis does not tell."""
        try:
            with redis_errors():
                return str((await self._redis.info("server")).get("run_id", ""))
        except InternalError:
            return ""
