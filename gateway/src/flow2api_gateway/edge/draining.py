"""The end of the gateway: running answers get a bounded time, then they are told to stop."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from enum import StrEnum


class Departure(StrEnum):
    """Why an answer that is still under way has to end."""

    CLIENT_GONE = "client_gone"
    SHUTTING_DOWN = "shutting_down"


class Drain:
    """Knows every long answer under way, so that shutting down can end them.

    `begin` turns readiness false and ends what its client can take up again elsewhere; `expire` ends what is still
    running.
    """

    def __init__(self) -> None:
        self._departures: set[asyncio.Future[Departure]] = set()
        self._resumable: set[asyncio.Future[Departure]] = set()
        self._is_expired = False
        self.is_draining = False

    @property
    def answer_count(self) -> int:
        """Long answers under way."""
        return len(self._departures)

    def begin(self) -> None:
        """Say that the end has come: nothing new is sent here by a load balancer. Safe to repeat."""
        self.is_draining = True
        _end(self._resumable)

    def expire(self) -> None:
        """End every long answer now, and each that still begins. Safe to repeat."""
        self.begin()
        self._is_expired = True
        _end(self._departures)

    @contextmanager
    def attend(self, *, can_be_resumed: bool = False) -> Iterator[asyncio.Future[Departure]]:
        """A future that is done when the answer has to end; whoever sees the client go sets it too."""
        departure: asyncio.Future[Departure] = asyncio.get_running_loop().create_future()
        self._departures.add(departure)
        if can_be_resumed:
            self._resumable.add(departure)
        if self._is_expired or (can_be_resumed and self.is_draining):
            _end([departure])
        try:
            yield departure
        finally:
            self._departures.discard(departure)
            self._resumable.discard(departure)
            departure.cancel()


def _end(departures: Iterable[asyncio.Future[Departure]]) -> None:
    for departure in list(departures):
        if not departure.done():
            departure.set_result(Departure.SHUTTING_DOWN)
