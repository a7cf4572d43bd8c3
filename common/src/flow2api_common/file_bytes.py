"""The bytes of a file that need not be in memory: read piece by piece, by as many readers as like."""

from __future__ import annotations

import os
import tempfile
import weakref
from collections.abc import Iterator
from threading import Lock
from typing import Final

_PIECE_BYTES: Final = 1024 * 1024


class FileBytes:
    """A file that does not change any more, held by its descriptor: it stays readable when its name goes.

    The descriptor is closed with the last reference. Reading moves no position, so readers do not disturb each other.
    """

    def __init__(self, descriptor: int) -> None:
        """Takes the descriptor over."""
        self._descriptor = descriptor
        self._size_bytes = os.fstat(descriptor).st_size
        weakref.finalize(self, os.close, descriptor)

    @classmethod
    def open(cls, path: os.PathLike[str] | str) -> FileBytes:
        """The file of this path. Raises OSError."""
        return cls(os.open(path, os.O_RDONLY | os.O_CLOEXEC))

    def __len__(self) -> int:
        return self._size_bytes

    def read_at(self, start: int, size: int) -> bytes:
        """At most ``size`` bytes from there on; fewer only at the end. Raises OSError."""
        return os.pread(self._descriptor, size, start)


class FileBytesWriter:
    """Makes a temporary file without a name; it is gone with its last reference, also when the process ends.

    Giving up while a thread still writes is safe: what it was to add after that is an error of its own.
    """

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115 -- closed by `finish` or `discard`
        self._lock = Lock()

    def write(self, data: bytes) -> None:
        """Add a piece. Blocks, as files do. Raises OSError; ValueError after `finish` or `discard`."""
        view = memoryview(data)
        with self._lock:
            while view:
                view = view[self._file.write(view) :]

    def finish(self) -> FileBytes:
        """What was written. Nothing can be added any more."""
        try:
            return FileBytes(os.dup(self._file.fileno()))
        finally:
            self._file.close()

    def discard(self) -> None:
        """Give up what was written; does nothing after `finish`."""
        with self._lock:
            self._file.close()


def pieces_of(content: bytes | FileBytes, piece_bytes: int = _PIECE_BYTES) -> Iterator[bytes]:
    """The bytes in order, in pieces of that size at most."""
    for start in range(0, len(content), piece_bytes):
        yield (
            content[start : start + piece_bytes] if isinstance(content, bytes) else content.read_at(start, piece_bytes)
        )
