"""A stretch of network that can be cut: a TCP forwarder on loopback, to one target or in turn to several."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress

_CHUNK = 65_536


class Link:
    """Forwards what connects to ``port``. Of several targets it takes those in turn that can be reached."""

    def __init__(self, targets: Sequence[int]) -> None:
        self.port = 0
        self._targets = targets
        self._turn = itertools.count()
        self._writers: set[asyncio.StreamWriter] = set()
        self._is_cut = False
        self._flows = asyncio.Event()
        self._flows.set()

    def cut(self) -> None:
        """Break every connection and refuse new ones."""
        self._is_cut = True
        self.reset()

    def stall(self) -> None:
        """Let nothing through any more, without telling anybody."""
        self._flows.clear()

    def mend(self) -> None:
        """Be a good network again."""
        self._is_cut = False
        self._flows.set()

    def reset(self) -> None:
        """Break every connection that there is."""
        for writer in list(self._writers):
            writer.transport.abort()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carry one connection to its end."""
        self._writers.add(writer)
        try:
            if self._is_cut:
                writer.transport.abort()
                return
            upstream = await self._connect()
            if upstream is None:
                writer.transport.abort()
                return
            self._writers.add(upstream[1])
            try:
                async with asyncio.TaskGroup() as group:
                    group.create_task(self._carry(reader, upstream[1]))
                    group.create_task(self._carry(upstream[0], writer))
            finally:
                self._writers.discard(upstream[1])
                upstream[1].close()
        except* (OSError, asyncio.CancelledError):
            pass  # One end has gone, and so does the other; or the run is over, which no task of its server outlives.
        finally:
            self._writers.discard(writer)
            writer.close()

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter] | None:
        first = next(self._turn)
        for offset in range(len(self._targets)):
            with suppress(OSError):
                return await asyncio.open_connection("127.0.0.1", self._targets[(first + offset) % len(self._targets)])
        return None

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while chunk := await reader.read(_CHUNK):
            await self._flows.wait()
            writer.write(chunk)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()


@asynccontextmanager
async def running_link(*targets: int) -> AsyncIterator[Link]:
    """Forward while inside."""
    link = Link(targets)
    server = await asyncio.start_server(link.serve, "127.0.0.1", 0)
    link.port = server.sockets[0].getsockname()[1]
    try:
        yield link
    finally:
        server.close()
        link.mend()
        link.reset()
        # The callbacks of broken connections run.
        await asyncio.sleep(0)
