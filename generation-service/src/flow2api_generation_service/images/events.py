"""The events of one generation, kept while it runs so that late comers see them all."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable

from flow2api_common.errors import Flow2APIError
from flow2api_proto.generation.v1 import image_pb2


class EventLog:
    """Events in order, for any number of listeners. ``on_deserted`` is called when the last listener has gone early."""

    def __init__(self, on_deserted: Callable[[], None]) -> None:
        self._on_deserted = on_deserted
        self._events: list[image_pb2.GenerateImageResponse] = []
        self._error: Flow2APIError | None = None
        self._ended = False
        self._listeners = 0
        self._news = asyncio.Event()

    @property
    def is_deserted(self) -> bool:
        """Whether nobody listens. Whoever begins a generation listens at once."""
        return self._listeners == 0

    @property
    def results(self) -> list[image_pb2.GenerateImageResponse]:
        """The events that stay: pictures and failures."""
        return [event for event in self._events if event.WhichOneof("event") != "progress"]

    def add(self, event: image_pb2.GenerateImageResponse) -> None:
        """Tell everybody."""
        self._events.append(event)
        self._wake()

    def end(self, error: Flow2APIError | None = None) -> None:
        """Nothing follows. ``error`` is raised to every listener."""
        self._ended = True
        self._error = error
        self._wake()

    async def follow(self) -> AsyncGenerator[image_pb2.GenerateImageResponse, None]:
        """All events from the first to the last. Raises the error that it ended with."""
        self._listeners += 1
        position = 0
        try:
            while True:
                while position < len(self._events):
                    position += 1
                    yield self._events[position - 1]
                if self._ended:
                    break
                await self._news.wait()
        finally:
            self._listeners -= 1
            if self._listeners == 0 and not self._ended:
                self._on_deserted()
        if self._error is not None:
            raise self._error

    def _wake(self) -> None:
        # Everybody waits on the event of now; those who come back get the next one.
        self._news.set()
        self._news = asyncio.Event()
