"""The queue of all replicas in Redis, as typed calls. Its order, and the bound on unfairness: ``scripts/_queue.lua``.

Every call is one round trip and atomic; all raise DependencyUnavailable, and `enter` and `beat` IndexMissing.
"""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

from redis.asyncio import Redis

from flow2api_token_service.leases.lua_values import (
    acquire_args,
    checked,
    milliseconds,
    refusal,
    taken_lease,
    time_of,
)
from flow2api_token_service.leases.records import Beat, LeaseRequest, Offer, Queued, QueuePlace, Refusal, TakenLease
from flow2api_token_service.leases.script import PoolScript
from flow2api_token_service.redis_client import KEY_PREFIX, redis_errors

_LISTEN_SECONDS = 30.0


class WaitingLine:
    """Safe for concurrent use."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._acquire = PoolScript(redis, "acquire")
        self._accept = PoolScript(redis, "accept")
        self._beat = PoolScript(redis, "beat")

    async def enter(self, request: LeaseRequest, place: QueuePlace) -> TakenLease | Refusal | Queued:
        """Take a lease, or queue for one. The ticket is the request's ``lease_id``; entering twice changes nothing."""
        answer = checked(await self._acquire(**acquire_args(request, place=place)))
        if answer["status"] == "leased":
            return taken_lease(answer, request)
        return Queued(refusal(answer)) if answer["status"] == "waiting" else refusal(answer)

    async def accept(self, offer: Offer, request: LeaseRequest) -> TakenLease | None:
        """Hold an offered lease for its whole time; None when the offer has lapsed."""
        taken = taken_lease(offer.answer, request)
        answer = await self._accept(lease_id=taken.lease.lease_id, duration_ms=milliseconds(request.duration))
        if not answer["deadline_ms"]:
            return None
        return replace(taken, expire_time=time_of(answer["deadline_ms"]))

    async def beat(self, replica: str, waits: Mapping[str, timedelta]) -> Beat:
        """Tell that the replica lives, with who waits there and for how long; without it they leave in seconds."""
        tickets = [[ticket, milliseconds(wait)] for ticket, wait in waits.items()]
        answer = checked(await self._beat(replica=replica, tickets=tickets))
        # An empty list comes out of Lua as an empty object.
        return Beat(
            offers=tuple(_offer(offered) for offered in answer["offers"] or ()),
            unknown=frozenset(answer["unknown"]),
            hopeless=frozenset(answer["hopeless"]),
            next_event=None if answer["next_ms"] < 0 else timedelta(milliseconds=answer["next_ms"]),
        )

    async def offers(self, replica: str) -> AsyncGenerator[Offer, None]:
        """Leases for those who wait at the replica, as they are given; what is missed here, the next `beat` tells."""
        with redis_errors():
            async with self._redis.pubsub() as channel:
                await channel.subscribe(f"{KEY_PREFIX}:granted:{replica}")
                while True:
                    message = await channel.get_message(ignore_subscribe_messages=True, timeout=_LISTEN_SECONDS)
                    if message:
                        yield _offer(json.loads(message["data"]))


def _offer(answer: Any) -> Offer:
    return Offer(answer["attempt"], answer)
