"""The process that decodes: ``python -I -m flow2api_poller_service.stills.decoder``, with its pipes held by a poller.

It ends when the poller's end of the pipe closes, however the poller ended, and after a while without work.
"""

from __future__ import annotations

import io
import os
import resource
import select
import sys
from typing import BinaryIO, Final

from flow2api_poller_service.stills.frames import stills_of
from flow2api_poller_service.stills.wire import CLIP, DONE, MAX_READ_BYTES, READ, REPLY, account_of

_IDLE_SECONDS: Final = 60
_MEMORY_BYTES: Final = 2 * 1024**3
_CPU_SECONDS_PER_CLIP: Final = 20


def main() -> None:
    """Make stills of one clip after the other."""
    requests = sys.stdin.buffer
    # Libraries that print must not speak in our place.
    replies = os.fdopen(os.dup(sys.stdout.fileno()), "wb", buffering=0)
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    _renounce()
    while (size_bytes := _next_clip(requests)) is not None:
        _limit_cpu()
        with io.BufferedReader(_RemoteClip(requests, replies, size_bytes), MAX_READ_BYTES // 2) as clip:
            stills = stills_of(clip)
        account = account_of(stills)
        replies.write(REPLY.pack(DONE, len(account), 0) + account)
        for still in (stills.thumbnail, stills.spritesheet):
            if still is not None:
                _write_all(replies, still.data)


class _RemoteClip(io.RawIOBase):
    """The clip as a file: every read asks the poller."""

    def __init__(self, requests: BinaryIO, replies: io.FileIO, size_bytes: int) -> None:
        self._requests = requests
        self._replies = replies
        self._size_bytes = size_bytes
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._size_bytes}[whence]
        self._position = max(0, start + offset)
        return self._position

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]  # what the reader above passes
        wanted = min(len(buffer), MAX_READ_BYTES, max(0, self._size_bytes - self._position))
        if wanted == 0:
            return 0
        self._replies.write(REPLY.pack(READ, self._position, wanted))
        piece = self._requests.read(wanted)
        if len(piece) != wanted:
            sys.exit(0)  # the poller has gone
        buffer[:wanted] = piece
        self._position += wanted
        return wanted


def _next_clip(requests: BinaryIO) -> int | None:
    readable, _, _ = select.select([requests], [], [], _IDLE_SECONDS)
    if not readable:
        return None
    header = requests.read(CLIP.size)
    return int(CLIP.unpack(header)[0]) if len(header) == CLIP.size else None


def _renounce() -> None:
    """Give up what decoding does not need."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES, _MEMORY_BYTES))
    # Those that are open stay open.
    resource.setrlimit(resource.RLIMIT_NOFILE, (8, 8))


def _limit_cpu() -> None:
    used = resource.getrusage(resource.RUSAGE_SELF)
    seconds = int(used.ru_utime + used.ru_stime) + _CPU_SECONDS_PER_CLIP
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, resource.RLIM_INFINITY))


def _write_all(replies: io.FileIO, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[replies.write(view) :]


if __name__ == "__main__":
    main()
