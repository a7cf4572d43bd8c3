"""Waiting for a lease, on this replica: those who wait here stand in the one queue of all replicas (`waiting_line.py`).

Room that comes free is given to the next waiter inside Redis, by the very script that freed it, and the waiter's
replica is told on a channel of its own. A beat beside it keeps the waiters in the queue, gives out what came free by
itself (the end of a lease, of a rest) when it does, and finds what the channel has lost.
"""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial

from flow2api_common.errors import DependencyUnavailable, Flow2APIError, Unauthenticated
from flow2api_common.ids import new_id
from flow2api_common.lifecycle import end_tasks
from flow2api_common.logs import get_logger
from flow2api_token_service.leases.owned_tasks import OwnedTasks
from flow2api_token_service.leases.pool_index import PoolIndex
from flow2api_token_service.leases.rebuild import IndexBuilder
from flow2api_token_service.leases.records import (
    LeaseKind,
    LeaseRequest,
    Offer,
    Queued,
    QueuePlace,
    Refusal,
    RefusalReason,
    TakenLease,
)
from flow2api_token_service.leases.waiting_line import WaitingLine
from flow2api_token_service.settings import QueueSettings

log = get_logger(__name__)

_BEAT = timedelta(seconds=1)
_SHORTEST_PAUSE = timedelta(milliseconds=5)
_RECONNECT_SECONDS = 0.5

Outcome = Offer | TakenLease | Refusal


@dataclass(eq=False, slots=True)
class _Waiter:
    request: LeaseRequest
    deadline: float
    outcome: asyncio.Future[Outcome] = field(default_factory=lambda: asyncio.get_running_loop().create_future())
    is_queued: bool = False

    def __post_init__(self) -> None:
        # Seen, so that nobody complains when the waiter has gone before it failed.
        self.outcome.add_done_callback(lambda outcome: outcome.cancelled() or outcome.exception())

    def end(self, outcome: Outcome) -> bool:
        """Tell the outcome; False when there was one before, or nobody waits any more."""
        if self.outcome.done():
            return False
        self.outcome.set_result(outcome)
        return True

    def fail(self, error: Flow2APIError) -> None:
        # Each waiter gets an exception of its own: one object raised in many tasks would mix their tracebacks.
        if not self.outcome.done():
            retry_after = error.retry_after
            copy = type(error)(error.message, reason=error.reason, metadata=error.metadata, retry_after=retry_after)
            self.outcome.set_exception(copy)


class LeaseQueue:
    """Takes leases, waiting where it is allowed. `serve` must be running."""

    def __init__(
        self,
        *,
        index: PoolIndex,
        line: WaitingLine,
        builder: IndexBuilder,
        tasks: OwnedTasks,
        settings: QueueSettings,
    ) -> None:
        self._index = index
        self._line = line
        self._builder = builder
        self._tasks = tasks
        self._settings = settings
        self._replica = new_id("replica")
        self._waiters: dict[str, _Waiter] = {}
        self._somebody_waits = asyncio.Event()
        self._stopping = asyncio.Event()

    async def take(self, request: LeaseRequest, *, wait: timedelta) -> TakenLease | Refusal:
        """A lease, or the refusal when the time is up, the queue is full, or waiting is pointless.

        Fair across API keys, over all replicas: while a waiter is the first of its key and what comes free suits it,
        another key is served at most 1 + floor(its weight / the waiter's weight) times before it, as long as each of
        the two waits with one wish; with more, see ``scripts/_queue.lua``. Within a key, and for the same wish, the
        first that came is the first that is served.

        Raises DependencyUnavailable when Redis is away. When the caller is cancelled, no lease is left behind.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + wait.total_seconds()
        if wait <= timedelta(0):
            return await self._take_now(request)
        while True:
            taken = await self._wait(_Waiter(request, deadline))
            if taken is not None:
                return taken

    def stop_waiting(self) -> None:
        """Send those who wait, and those who come to wait, to another replica: this one is going away."""
        self._stopping.set()
        self._somebody_waits.set()
        for waiter in self._waiters.values():
            waiter.fail(_stopping())

    def waiting_keys(self) -> set[str]:
        """The API keys of those who wait here."""
        return {waiter.request.api_key_id for waiter in self._waiters.values()}

    def send_away(self, api_key_id: str) -> None:
        """Refuse the pictures of an API key that wait here: the key has ended. Its videos were accepted, and go on."""
        for waiter in self._waiters.values():
            if waiter.request.api_key_id == api_key_id and waiter.request.kind is LeaseKind.IMAGE:
                waiter.fail(Unauthenticated("Incorrect API key provided.", reason="API_KEY_INVALID"))

    async def serve(self) -> None:
        """Bring offers to the waiters, until `stop_waiting`."""
        async with asyncio.TaskGroup() as group:
            listening = group.create_task(self._listen(), name="lease-queue-listen")
            while not self._stopping.is_set():
                await self._beat_when_somebody_waits()
            await end_tasks([listening])

    def give_back(self, request: LeaseRequest) -> None:
        """End the lease that a caller did not get, or its place in the queue, in the background."""
        self._tasks.start(self._index.give_back(request), name="give-back")

    async def _take_now(self, request: LeaseRequest) -> TakenLease | Refusal:
        # A cancelled command may or may not reach Redis: it is let run, and what it took is given back.
        work = self._builder.with_index(partial(self._index.acquire, request))
        taking = self._tasks.start(work, name="acquire")
        try:
            return await asyncio.shield(taking)
        except asyncio.CancelledError:
            taking.add_done_callback(lambda _: self.give_back(request))
            raise

    async def _wait(self, waiter: _Waiter) -> TakenLease | Refusal | None:
        """What became of the waiting; None when an offer lapsed before it was accepted, and time is left."""
        if self._stopping.is_set():
            raise _stopping()
        request = waiter.request
        # Known before Redis is told: the offer may come before the answer.
        self._waiters[request.lease_id] = waiter
        entering = self._tasks.start(self._enter(waiter), name="enter-queue")
        try:
            taken = await self._outcome(waiter, entering)
        except BaseException:
            entering.add_done_callback(lambda _: self.give_back(request))
            raise
        finally:
            if self._waiters.get(request.lease_id) is waiter:
                del self._waiters[request.lease_id]
        if isinstance(taken, Refusal) and taken.reason is not RefusalReason.NEVER:
            # It may stand in the queue still, or have been offered a lease that came too late.
            entering.add_done_callback(lambda _: self.give_back(request))
        return taken

    async def _outcome(self, waiter: _Waiter, entering: asyncio.Task[Refusal]) -> TakenLease | Refusal | None:
        last = Refusal(RefusalReason.BUSY)
        try:
            async with asyncio.timeout_at(waiter.deadline):
                last = await asyncio.shield(entering)
                outcome = await waiter.outcome
        except TimeoutError:
            return last
        return await self._line.accept(outcome, waiter.request) if isinstance(outcome, Offer) else outcome

    async def _enter(self, waiter: _Waiter) -> Refusal:
        """Queue up, or end the waiting; gives the refusal for when nothing comes in time."""
        wait = timedelta(seconds=max(0.001, waiter.deadline - asyncio.get_running_loop().time()))
        place = QueuePlace(
            replica=self._replica,
            wait=wait,
            limit=self._settings.queue_limit,
            limit_per_key=self._settings.queue_limit_per_key,
        )
        answer = await self._builder.with_index(partial(self._line.enter, waiter.request, place))
        if not isinstance(answer, Queued):
            waiter.end(answer)
            return answer if isinstance(answer, Refusal) else Refusal(RefusalReason.BUSY)
        waiter.is_queued = True
        self._somebody_waits.set()
        return answer.refusal

    async def _beat_when_somebody_waits(self) -> None:
        if not any(waiter.is_queued for waiter in self._waiters.values()):
            self._somebody_waits.clear()
            await self._somebody_waits.wait()
        try:
            pause = await self._builder.with_index(self._beat)
        except Flow2APIError as error:
            for waiter in self._waiters.values():
                waiter.fail(error)
            return
        try:
            async with asyncio.timeout(max(pause, _SHORTEST_PAUSE).total_seconds()):
                await self._stopping.wait()
        except TimeoutError:
            pass  # The next beat is due.

    async def _beat(self) -> timedelta:
        """Do one beat; gives how long to pause after it."""
        now = asyncio.get_running_loop().time()
        queued = {ticket: waiter for ticket, waiter in self._waiters.items() if waiter.is_queued}
        waits = {
            ticket: timedelta(seconds=max(0.0, waiter.deadline - now))
            for ticket, waiter in queued.items()
            if not waiter.outcome.done()
        }
        beat = await self._line.beat(self._replica, waits)
        for offer in beat.offers:
            self._deliver(offer)
        for ticket in beat.hopeless:
            queued[ticket].end(Refusal(RefusalReason.NEVER))
        for ticket, waiter in queued.items():
            # In the order in which they came: the queue was lost with Redis, or they were thought dead.
            if ticket in beat.unknown and not waiter.outcome.done():
                await self._enter(waiter)
        return _BEAT if beat.next_event is None else min(beat.next_event, _BEAT)

    def _deliver(self, offer: Offer) -> None:
        # A waiter that has left has given back what it was offered.
        if waiter := self._waiters.get(offer.ticket):
            waiter.end(offer)

    async def _listen(self) -> None:
        while not self._stopping.is_set():
            try:
                async with aclosing(self._line.offers(self._replica)) as offers:
                    async for offer in offers:
                        self._deliver(offer)
            except Flow2APIError as error:
                log.info("offers_channel_lost", error=error.reason)
            await asyncio.sleep(_RECONNECT_SECONDS)


def _stopping() -> DependencyUnavailable:
    return DependencyUnavailable("The token service is stopping.", retry_after=timedelta(seconds=1))
