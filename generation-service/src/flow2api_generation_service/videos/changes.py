"""Who waits for a job to change is told: in this process at once, in every other replica by a plain NATS message.

Such a message may be lost, so that nobody relies on it alone: who waits looks at the table every now and then as well.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
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
    """Announces changes of jobs and tells those who listen; those of image jobs under a subject of their own."""

    def __init__(self, *, nats: NatsConnection, subject: str = CHANGED_SUBJECT) -> None:
        self._nats = nats
        self._subject = subject
        self._listeners: list[Callable[[str], None]] = []
        self._is_subscribed = False

    async def announce(self, video_id: str) -> None:
        """Say that a job has changed, after the commit. Never fails."""
        self._wake(video_id)
        if not self._nats.is_connected:
            return
        try:
            await self._nats.client.publish(f"{self._subject}.{video_id}")
        except (nats.errors.Error, OSError) as error:
            log.debug("change_not_announced", video_id=video_id, error=repr(error))

    def listen(self, listener: Callable[[str], None]) -> None:
        """Call ``listener`` with the id of each job that is announced as changed, here or by another replica."""
        self._listeners.append(listener)

    @property
    def is_listening(self) -> bool:
        """Whether announcements of other replicas come in."""
        return self._is_subscribed and self._nats.is_connected

    async def run(self) -> None:
        """Listen to the other replicas until cancelled."""
        while True:
            self._is_subscribed = False
            await self._nats.wait_connected()
            client = self._nats.client
            try:
                # The client keeps its subscriptions over reconnections, but not when it had to be replaced.
                await client.subscribe(f"{self._subject}.*", cb=self._on_message)
            except (nats.errors.Error, OSError) as error:
                log.debug("changes_not_subscribed", error=repr(error))
                await asyncio.sleep(_LOOK_AT_CLIENT.total_seconds())
                continue
            self._is_subscribed = True
            while self._nats.client is client:  # noqa: ASYNC110 - the connection tells nobody that it has a new client
                await asyncio.sleep(_LOOK_AT_CLIENT.total_seconds())

    async def _on_message(self, message: Msg) -> None:
        self._wake(message.subject.rpartition(".")[2])

    def _wake(self, video_id: str) -> None:
        for listener in self._listeners:
            listener(video_id)
