"""Has stills made by a few decoder processes, which are started when needed and ended when they misbehave."""

from __future__ import annotations

import asyncio
import sys
from contextlib import suppress
from datetime import timedelta
from typing import Final

from flow2api_common.errors import Flow2APIError
from flow2api_common.logs import get_logger
from flow2api_common.media_store import MediaStore
from flow2api_poller_service.stills.wire import (
    CLIP,
    DONE,
    MAX_ACCOUNT_BYTES,
    MAX_READ_BYTES,
    READ,
    REPLY,
    Playability,
    Still,
    Stills,
    read_account,
)

log = get_logger(__name__)

_COMMAND: Final = (sys.executable, "-I", "-m", "flow2api_poller_service.stills.decoder")
_UNKNOWN: Final = Stills(Playability.UNKNOWN)


class _DecoderGone(Exception):
    """The process ended, or does not speak our language."""


class _DecoderIdle(_DecoderGone):
    """It had ended before it was given anything."""


class StillStudio:
    """Stills of clips in the store. ``processes`` is how many clips are looked at at the same time; 0 for none ever."""

    def __init__(self, *, store: MediaStore, processes: int, time_limit: timedelta) -> None:
        self._store = store
        self._processes = processes
        self._time_limit = time_limit
        self._room = asyncio.Semaphore(processes)
        self._idle: list[asyncio.subprocess.Process] = []

    async def stills_of(self, key: str, *, size_bytes: int) -> Stills:
        """What can be found out about a clip. Raises nothing: where something fails, the answer is unknown."""
        if not self._processes:
            return _UNKNOWN
        async with self._room:
            try:
                async with asyncio.timeout(self._time_limit.total_seconds()):
                    return await self._make(key, size_bytes)
            except TimeoutError:
                log.warning("stills_not_made", object_key=key, reason="time limit")
            except (_DecoderGone, OSError, ValueError, Flow2APIError) as error:
                log.warning("stills_not_made", object_key=key, reason=type(error).__name__)
        return _UNKNOWN

    async def aclose(self) -> None:
        """End the processes."""
        while self._idle:
            await _end(self._idle.pop())

    async def _make(self, key: str, size_bytes: int) -> Stills:
        while self._idle:
            with suppress(_DecoderIdle):
                return await self._ask(self._idle.pop(), key, size_bytes)
        return await self._ask(await _started(), key, size_bytes)

    async def _ask(self, decoder: asyncio.subprocess.Process, key: str, size_bytes: int) -> Stills:
        try:
            stills = await self._converse(decoder, key, size_bytes)
        except BaseException:
            await _end(decoder)
            raise
        self._idle.append(decoder)
        return stills

    async def _converse(self, decoder: asyncio.subprocess.Process, key: str, size_bytes: int) -> Stills:
        requests, replies = decoder.stdin, decoder.stdout
        if requests is None or replies is None:  # it was started with both
            raise _DecoderGone
        begun = False
        try:
            requests.write(CLIP.pack(size_bytes))
            await requests.drain()
            while True:
                kind, first, second = REPLY.unpack(await replies.readexactly(REPLY.size))
                begun = True
                if kind == DONE and first <= MAX_ACCOUNT_BYTES:
                    return await _result(replies, first)
                if kind != READ or second > MAX_READ_BYTES or first + second > size_bytes:
                    raise _DecoderGone
                requests.write(await self._store.read(key, start=first, end=first + second))
                await requests.drain()
        except (asyncio.IncompleteReadError, ConnectionError) as error:
            raise (_DecoderGone if begun else _DecoderIdle) from error


async def _started() -> asyncio.subprocess.Process:
    # No environment: it holds secrets, and a decoder needs none of it.
    return await asyncio.create_subprocess_exec(
        *_COMMAND,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        env={},
        cwd="/",
    )


async def _result(replies: asyncio.StreamReader, account_bytes: int) -> Stills:
    playability, sizes = read_account(await replies.readexactly(account_bytes))
    thumbnail, spritesheet = [
        Still(await replies.readexactly(size_bytes), width, height) if size_bytes else None
        for width, height, size_bytes in (size or (0, 0, 0) for size in sizes)
    ]
    return Stills(playability, thumbnail, spritesheet)


async def _end(decoder: asyncio.subprocess.Process) -> None:
    with suppress(ProcessLookupError):
        decoder.kill()
    # Also frees the pipes. It has been killed: nothing holds it up.
    if decoder.stdin is not None:
        decoder.stdin.close()
    await decoder.wait()
