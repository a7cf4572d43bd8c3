"""The index of the pool in Redis: chooses tokens, holds leases, counts.

SQL is the truth about tokens; the index is written after it and can be rebuilt from it (`leases/rebuild.py`).
Every method is one round trip and atomic. All raise DependencyUnavailable when Redis is away, and those that need the
whole index raise IndexMissing when it is not (completely) there. Keys: see ``scripts/_pool.lua``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from redis.asyncio import Redis

from flow2api_common.errors import DependencyUnavailable
from flow2api_token_service.leases.records import (
    Candidate,
    LeaseKind,
    LeaseRecord,
    LeaseRequest,
    LivePool,
    LiveToken,
    PoolEntry,
    Refusal,
    RefusalReason,
    Released,
    StatsBatch,
    TakenLease,
    Verdict,
)
from flow2api_token_service.leases.script import PoolScript
from flow2api_token_service.redis_client import KEY_PREFIX, redis_errors

FREED_CHANNEL = f"{KEY_PREFIX}:freed"
_EPOCH_KEY = f"{KEY_PREFIX}:epoch"
_TOKENS_KEY = f"{KEY_PREFIX}:tokens"
_KEY_LIMITS_KEY = f"{KEY_PREFIX}:keylimits"
_WAITING_KEY = f"{KEY_PREFIX}:waiting"

DEFAULT_RETRY_AFTER = timedelta(seconds=5)
"""What a caller is told who finds everything busy: leases end when generations do, which nobody can foresee."""
_OUTCOME_MEMORY = timedelta(hours=1)
_WAITING_FLAG_LIFETIME = timedelta(seconds=10)


class IndexMissing(DependencyUnavailable):
    """Redis has no complete index (it is new, or was flushed); it has to be built from SQL first."""

    default_reason = "POOL_INDEX_MISSING"


class PoolIndex:
    """Typed calls of the scripts. Safe for concurrent use."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._acquire = PoolScript(redis, "acquire")
        self._renew = PoolScript(redis, "renew")
        self._claim = PoolScript(redis, "claim")
        self._unclaim = PoolScript(redis, "unclaim")
        self._release = PoolScript(redis, "release")
        self._give_back = PoolScript(redis, "give_back")
        self._sweep = PoolScript(redis, "sweep")
        self._put_tokens = PoolScript(redis, "put_tokens")
        self._remove_tokens = PoolScript(redis, "remove_tokens")
        self._read_live = PoolScript(redis, "read_live")
        self._take_stats = PoolScript(redis, "take_stats")
        self._drop_stats = PoolScript(redis, "drop_stats")

    async def acquire(self, request: LeaseRequest) -> TakenLease | Refusal:
        """Choose a token and take a lease on it. A repeat with the same ``request_id`` gets the same lease."""
        answer = _checked(
            await self._acquire(
                lease_id=request.lease_id,
                request_id=request.request_id,
                kind=request.kind,
                key=request.api_key_id,
                duration_ms=_milliseconds(request.duration),
                excluded=[str(token_id) for token_id in request.excluded_token_ids],
                default_retry_ms=_milliseconds(DEFAULT_RETRY_AFTER),
                candidates=[_candidate(candidate) for candidate in request.candidates],
            )
        )
        if answer["status"] != "leased":
            retry_after = timedelta(milliseconds=answer.get("retry_ms", 0))
            return Refusal(RefusalReason(answer["status"]), retry_after)
        lease = LeaseRecord(
            lease_id=answer["lease_id"],
            token_id=int(answer["token_id"]),
            kind=request.kind,
            api_key_id=request.api_key_id,
            upstream_model=answer["model"],
        )
        return TakenLease(
            lease=lease,
            candidate_index=answer["candidate"],
            expire_time=_time(answer["deadline_ms"]),
            revision=answer["revision"],
        )

    async def renew(self, leases: Sequence[LeaseRecord], duration: timedelta) -> list[datetime | None]:
        """Move the deadlines; None for a lease that was lost and could not be taken back in."""
        answer = _checked(
            await self._renew(duration_ms=_milliseconds(duration), leases=[_lease(lease) for lease in leases])
        )
        deadline = _time(answer["deadline_ms"])
        return [deadline if renewed else None for renewed in answer["renewed"]]

    async def claim_outcome(self, lease_id: str, nonce: str) -> bool:
        """Whether the outcome of this lease is the caller's to count; the same ``nonce`` is told the same again."""
        answer = await self._claim(lease_id=lease_id, nonce=nonce, keep_ms=_milliseconds(_OUTCOME_MEMORY))
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
        output_count: int = 0,
        remaining_credits: int | None = None,
    ) -> Released:
        """End a lease and count its outcome, each once."""
        answer = await self._release(
            lease_id=lease.lease_id,
            token=str(lease.token_id),
            kind=lease.kind,
            model=lease.upstream_model,
            nonce=nonce,
            keep_ms=_milliseconds(_OUTCOME_MEMORY),
            verdict=verdict,
            outputs=output_count,
            credits=-1 if remaining_credits is None else remaining_credits,
        )
        return Released(was_live=answer["was_live"], is_first=answer["first"], is_sick=answer["sick"])

    async def give_back(self, lease_id: str, *, attempt: str) -> None:
        """End a lease that nobody got, unless a repeat of the call has it by now. ``attempt``: the call's lease id."""
        await self._give_back(lease_id=lease_id, attempt=attempt)

    async def sweep(self) -> int:
        """End some leases past their deadline and wake some tokens; gives how many, to be called until 0."""
        return int(_checked(await self._sweep())["freed"])

    async def put(self, entries: Sequence[PoolEntry], *, credits_are_fresh: bool = False) -> None:
        """Write tokens as SQL has them. Credits that the index has already win unless ``credits_are_fresh``."""
        if entries:
            await self._put_tokens(tokens=[_entry(entry, credits_are_fresh=credits_are_fresh) for entry in entries])

    async def remove(self, token_ids: Sequence[int]) -> None:
        """Take tokens out. Their leases run to their end."""
        if token_ids:
            await self._remove_tokens(ids=[str(token_id) for token_id in token_ids])

    async def read_live(self, token_ids: Sequence[int]) -> LivePool:
        """Live leases and unwritten counters."""
        answer = await self._read_live(ids=[str(token_id) for token_id in token_ids])
        tokens = {
            token_id: LiveToken(answer["image"][at], answer["video"][at], _summed(answer["stats"][at]))
            for at, token_id in enumerate(token_ids)
        }
        return LivePool(tokens, answer["all_image"], answer["all_video"])

    async def take_stats(self, batch_id: str, limit: int) -> StatsBatch | None:
        """Counters of some tokens; the same batch again until `drop_stats` has ended it. None when there are none."""
        answer = await self._take_stats(batch_id=batch_id, limit=limit)
        if answer is None:
            return None
        counters = {
            int(token_id): _pairs(pairs) for token_id, pairs in zip(answer["tokens"], answer["stats"], strict=True)
        }
        return StatsBatch(answer["id"], counters)

    async def drop_stats(self, batch_id: str) -> None:
        """End a batch that SQL has."""
        await self._drop_stats(batch_id=batch_id)

    async def token_ids(self) -> set[int]:
        """The ids of all tokens in the index."""
        with redis_errors():
            return {int(token_id) for token_id in await self._redis.smembers(_TOKENS_KEY)}

    async def put_key_limits(self, limits: Mapping[str, int]) -> None:
        """Set how many generations API keys may have in flight, -1 for unlimited."""
        if limits:
            with redis_errors():
                await self._redis.hset(_KEY_LIMITS_KEY, mapping={key: str(limit) for key, limit in limits.items()})

    async def is_built(self) -> bool:
        """Whether the index is complete."""
        with redis_errors():
            return bool(await self._redis.exists(_EPOCH_KEY))

    async def mark_built(self, epoch: str) -> None:
        """Declare the index complete."""
        with redis_errors():
            await self._redis.set(_EPOCH_KEY, epoch)

    async def mark_waiting(self) -> None:
        """Have room that comes free announced on ``FREED_CHANNEL`` for the next seconds."""
        with redis_errors():
            await self._redis.set(_WAITING_KEY, "1", px=_milliseconds(_WAITING_FLAG_LIFETIME))


def _checked(answer: Any) -> Any:
    if answer["status"] == "unbuilt":
        raise IndexMissing("The pool is being read in.", retry_after=timedelta(seconds=1))
    return answer


def _candidate(candidate: Candidate) -> dict[str, Any]:
    return {
        "provider": candidate.provider,
        "model": candidate.upstream_model,
        "min_tier": candidate.min_tier,
        "credits": candidate.credits,
        "affinity": "" if candidate.affinity_token_id is None else str(candidate.affinity_token_id),
    }


def _lease(lease: LeaseRecord) -> dict[str, Any]:
    return {
        "id": lease.lease_id,
        "token": str(lease.token_id),
        "kind": lease.kind,
        "key": lease.api_key_id,
        "model": lease.upstream_model,
    }


def _entry(entry: PoolEntry, *, credits_are_fresh: bool) -> dict[str, Any]:
    return {
        "id": str(entry.token_id),
        "provider": entry.provider,
        "tier": entry.tier,
        "credits": "" if entry.credits is None else entry.credits,
        "credits_are_fresh": credits_are_fresh,
        "revision": entry.revision,
        "state": entry.state,
        "until_ms": 0 if entry.state_until is None else _epoch_ms(entry.state_until),
        "image": entry.image_limit,
        "video": entry.video_limit,
        "sick": entry.is_sick,
        "rests": [[model, _epoch_ms(until)] for model, until in entry.rests.items()],
    }


def _pairs(flat: Any) -> dict[str, str]:
    # An empty list comes out of Lua as an empty object.
    values = list(flat) if isinstance(flat, list) else []
    return dict(zip(values[::2], values[1::2], strict=True))


def _summed(flat: Any) -> dict[str, str]:
    """Counters of which a field may come twice: numbers add up, of times and balances the later one stands last."""
    values = list(flat) if isinstance(flat, list) else []
    summed: dict[str, str] = {}
    for name, value in zip(values[::2], values[1::2], strict=True):
        is_counter = name in summed and not name.startswith("last_") and name != "credits"
        summed[name] = str(int(summed[name]) + int(value)) if is_counter else value
    return summed


def _milliseconds(duration: timedelta) -> int:
    return duration // timedelta(milliseconds=1)


def _epoch_ms(time: datetime) -> int:
    return _milliseconds(time - datetime.fromtimestamp(0, UTC))


def _time(epoch_ms: float) -> datetime:
    return datetime.fromtimestamp(0, UTC) + timedelta(milliseconds=epoch_ms)


__all__ = [
    "DEFAULT_RETRY_AFTER",
    "FREED_CHANNEL",
    "IndexMissing",
    "LeaseKind",
    "PoolIndex",
]
