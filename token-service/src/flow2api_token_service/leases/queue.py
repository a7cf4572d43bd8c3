"""Waiting for a lease: in the order of arrival per API key, in turn across API keys.

The queue is of one replica. A release announces room on a Redis channel, which wakes the queue of every replica that
has waiters; a slow poll beside it finds what nobody announces, such as the end of a cooldown.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial

from redis.asyncio import Redis
from redis.exceptions import RedisError

from flow2api_common.errors import DependencyUnavailable, Flow2APIError
from flow2api_common.logs import get_logger
from flow2api_token_service.leases.owned_tasks import OwnedTasks
from flow2api_token_service.leases.pool_index import FREED_CHANNEL, PoolIndex
from flow2api_token_service.leases.rebuild import IndexBuilder
from flow2api_token_service.leases.records import Candidate, LeaseKind, LeaseRequest, Refusal, RefusalReason, TakenLease

log = get_logger(__name__)

_POLL = timedelta(seconds=1)
_LISTEN_SECONDS = 30.0
_RECONNECT_SECONDS = 0.5

Wish = tuple[LeaseKind, tuple[Candidate, ...], tuple[int, ...]]


@dataclass(eq=False, slots=True)
class _Waiter:
    request: LeaseRequest
    answer: asyncio.Future[TakenLease | Refusal]
    last_refusal: Refusal = field(default_factory=lambda: Refusal(RefusalReason.BUSY))

    @property
    def wish(self) -> Wish:
        """Waiters with the same wish are served by the same tokens."""
        return self.request.kind, self.request.candidates, self.request.excluded_token_ids


class LeaseQueue:
    """Takes leases, waiting where it is allowed. `serve` must be running."""

    def __init__(self, *, index: PoolIndex, builder: IndexBuilder, redis: Redis, tasks: OwnedTasks) -> None:
        self._index = index
        self._builder = builder
        self._redis = redis
        self._tasks = tasks
        self._waiters: OrderedDict[str, deque[_Waiter]] = OrderedDict()
        self._wake = asyncio.Event()
        self._is_stopping = False

    async def take(self, request: LeaseRequest, *, wait: timedelta) -> TakenLease | Refusal:
        """A lease, or the last refusal when the time is up. Raises DependencyUnavailable when Redis is away.

        When the caller is cancelled, no lease is left behind.
        """
        may_wait = wait > timedelta(0)
        if not (may_wait and self._is_behind_others(request)):
            answer = await self._take_now(request)
            if isinstance(answer, TakenLease) or not may_wait or answer.reason is RefusalReason.NEVER:
                return answer
        return await self._wait(request, wait)

    def stop_waiting(self) -> None:
        """Send those who wait, and those who come, to another replica: this one is going away."""
        self._is_stopping = True
        self._wake.set()
        for waiter in list(self._everybody()):
            if not waiter.answer.done():
                waiter.answer.set_exception(_stopping())

    async def serve(self) -> None:
        """Hand room that comes free to the waiters, until `stop_waiting`."""
        async with asyncio.TaskGroup() as group:
            listening = group.create_task(self._listen(), name="lease-queue-listen")
            while not self._is_stopping:
                await self._sleep()
                if self._waiters:
                    await self._guarded_round()
            listening.cancel()

    def give_back(self, lease_id: str, *, attempt: str) -> None:
        """End a lease that its caller did not get, in the background."""
        self._tasks.start(self._index.give_back(lease_id, attempt=attempt), name="give-back")

    async def _take_now(self, request: LeaseRequest) -> TakenLease | Refusal:
        # A cancelled command may or may not reach Redis: it is let run, and what it took is given back.
        taking = self._tasks.start(self._acquire(request), name="acquire")
        try:
            return await asyncio.shield(taking)
        except asyncio.CancelledError:
            taking.add_done_callback(lambda done: self._give_back_taken(done, request))
            raise

    async def _acquire(self, request: LeaseRequest) -> TakenLease | Refusal:
        return await self._builder.with_index(partial(self._index.acquire, request))

    def _give_back_taken(self, taking: asyncio.Task[TakenLease | Refusal], request: LeaseRequest) -> None:
        if taking.cancelled() or taking.exception() is not None:
            return
        answer = taking.result()
        if isinstance(answer, TakenLease):
            self.give_back(answer.lease.lease_id, attempt=request.lease_id)

    def _is_behind_others(self, request: LeaseRequest) -> bool:
        """Whether a newcomer would overtake somebody who waits for the same."""
        wish = (request.kind, request.candidates, request.excluded_token_ids)
        return any(waiter.wish == wish for waiter in self._everybody())

    async def _wait(self, request: LeaseRequest, wait: timedelta) -> TakenLease | Refusal:
        if self._is_stopping:
            raise _stopping()
        waiter = _Waiter(request, asyncio.get_running_loop().create_future())
        self._waiters.setdefault(request.api_key_id, deque()).append(waiter)
        self._wake.set()
        try:
            async with asyncio.timeout(wait.total_seconds()):
                return await waiter.answer
        except TimeoutError:
            return waiter.last_refusal
        finally:
            # From here on the round that may be serving this waiter sees that it is gone, and gives the lease back.
            self._remove(waiter)

    async def _sleep(self) -> None:
        try:
            async with asyncio.timeout(_POLL.total_seconds() if self._waiters else None):
                await self._wake.wait()
        except TimeoutError:
            pass  # Nobody has announced anything: look all the same.
        self._wake.clear()

    async def _guarded_round(self) -> None:
        try:
            await self._index.mark_waiting()
            await self._round()
        except Flow2APIError as error:
            # Each waiter gets an exception of its own: one object raised in many tasks would mix their tracebacks.
            for waiter in list(self._everybody()):
                if not waiter.answer.done():
                    waiter.answer.set_exception(_copy(error))

    async def _round(self) -> None:
        """Serve waiters, one of each key in turn, until nobody can be served."""
        blocked: set[Wish] = set()
        blocked_keys: set[str] = set()
        while waiter := self._next(blocked, blocked_keys):
            answer = await self._acquire(waiter.request)
            if waiter.answer.done() or waiter not in self._waiters.get(waiter.request.api_key_id, ()):
                if isinstance(answer, TakenLease):
                    self.give_back(answer.lease.lease_id, attempt=waiter.request.lease_id)
                continue
            if isinstance(answer, TakenLease) or answer.reason is RefusalReason.NEVER:
                self._serve_waiter(waiter, answer)
                continue
            waiter.last_refusal = answer
            if answer.reason is RefusalReason.KEY_BUSY:
                blocked_keys.add(waiter.request.api_key_id)
            else:
                blocked.add(waiter.wish)

    def _serve_waiter(self, waiter: _Waiter, answer: TakenLease | Refusal) -> None:
        self._remove(waiter)
        waiter.answer.set_result(answer)
        # The key that was served goes behind the others; one that was refused keeps its turn.
        if waiter.request.api_key_id in self._waiters:
            self._waiters.move_to_end(waiter.request.api_key_id)

    def _next(self, blocked: set[Wish], blocked_keys: set[str]) -> _Waiter | None:
        for key, waiters in self._waiters.items():
            if key in blocked_keys:
                continue
            for waiter in waiters:
                if waiter.wish not in blocked and not waiter.answer.done():
                    return waiter
        return None

    def _everybody(self) -> Iterator[_Waiter]:
        for waiters in self._waiters.values():
            yield from waiters

    def _remove(self, waiter: _Waiter) -> None:
        waiters = self._waiters.get(waiter.request.api_key_id)
        if waiters is not None and waiter in waiters:
            waiters.remove(waiter)
            if not waiters:
                del self._waiters[waiter.request.api_key_id]

    async def _listen(self) -> None:
        while not self._is_stopping:
            try:
                async with self._redis.pubsub() as channel:
                    await channel.subscribe(FREED_CHANNEL)
                    while not self._is_stopping:
                        if await channel.get_message(ignore_subscribe_messages=True, timeout=_LISTEN_SECONDS):
                            self._wake.set()
            except RedisError as error:
                log.info("freed_channel_lost", error=type(error).__name__)
            await asyncio.sleep(_RECONNECT_SECONDS)


def _stopping() -> DependencyUnavailable:
    return DependencyUnavailable("The token service is stopping.", retry_after=timedelta(seconds=1))


def _copy(error: Flow2APIError) -> Flow2APIError:
    return type(error)(error.message, reason=error.reason, metadata=error.metadata, retry_after=error.retry_after)
