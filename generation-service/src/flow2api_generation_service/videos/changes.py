"""Who waits for a job to change is woken: in this process at once, in every other replica by a plain NATS message.

Such a message may be lost, so that nobody relies on it alone: a waiter looks at the table every now and then as well.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Final

import nats.errors
from nats.aio.msg import Msg

from flow2api_common.logs import get_logger
from flow2api_common.nats_client import NatsConnection

log = get_logger(__name__)

CHANGED_SUBJECT: Final = "video.changed"
"""Plain NATS, no stream: ``video.changed.<video_id>``, empty payload."""

_LOOK_AT_CLIENT: Final = timedelta(seconds=1)


class VideoChanges:
    """Announces changes of jobs and wakes those who wait for them."""

    def __init__(self, *, nats: NatsConnection) -> None:
        self._nats = nats
        self._waiters: dict[str, set[asyncio.Event]] = defaultdict(set)

    async def announce(self, video_id: str) -> None:
        """Say that a job has changed, after the commit. Never fails."""
        self._wake(video_id)
        if not self._nats.is_connected:
            return
        try:
            await self._nats.client.publish(f"{CHANGED_SUBJECT}.{video_id}")
        except (nats.errors.Error, OSError) as error:
            log.debug("change_not_announced", video_id=video_id, error=repr(error))

    @contextmanager
    def waiter(self, video_id: str) -> Iterator[ChangeWaiter]:
        """Something to wait with; a change that comes between two waits is not missed."""
        event = asyncio.Event()
        self._waiters[video_id].add(event)
        try:
            yield ChangeWaiter(event)
        finally:
            self._waiters[video_id].discard(event)
            if not self._waiters[video_id]:
                del self._waiters[video_id]

    async def run(self) -> None:
        """Listen to the other replicas until cancelled."""
        while True:
            await self._nats.wait_connected()
            client = self._nats.client
            try:
                # The client keeps its subscriptions over reconnections, but not when it had to be replaced.
                await client.subscribe(f"{CHANGED_SUBJECT}.*", cb=self._on_message)
            except (nats.errors.Error, OSError) as error:
                log.debug("changes_not_subscribed", error=repr(error))
                await asyncio.sleep(_LOOK_AT_CLIENT.total_seconds())
                continue
            while self._nats.client is client:  # noqa: ASYNC110 - the connection tells nobody that it has a new client
                await asyncio.sleep(_LOOK_AT_CLIENT.total_seconds())

    async def _on_message(self, message: Msg) -> None:
        self._wake(message.subject.rpartition(".")[2])

    def _wake(self, video_id: str) -> None:
        for event in self._waiters.get(video_id, ()):
            event.set()


class ChangeWaiter:
    """Waits for the next change of one job."""

    def __init__(self, event: asyncio.Event) -> None:
        self._event = event

    async def wait(self, timeout: timedelta) -> bool:
        """Whether a change was announced before this much time had passed."""
        try:
            async with asyncio.timeout(timeout.total_seconds()):
                await self._event.wait()
        except TimeoutError:
            return False
        self._event.clear()
        return True
