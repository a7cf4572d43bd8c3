"""Pictures that go into generations: small ones in memory, large ones in files until the moment they are sent."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

from flow2api_common.errors import DependencyUnavailable
from flow2api_common.file_bytes import FileBytes, FileBytesWriter, pieces_of

_IN_MEMORY_BYTES: Final = 256 * 1024


class TooManyBytes(Exception):
    """More has come than is taken."""


@dataclass(frozen=True, slots=True)
class InputPicture:
    """A picture that every upstream takes. ``content_type`` is by its bytes; sides are pixels."""

    data: bytes | FileBytes = field(repr=False)
    content_type: str
    width: int
    height: int


async def digest_of(picture: InputPicture) -> bytes:
    """The SHA-256 of the bytes."""
    if isinstance(picture.data, bytes) and len(picture.data) <= _IN_MEMORY_BYTES:
        return _sha256(picture.data)
    return await asyncio.to_thread(_sha256, picture.data)


async def received(chunks: AsyncIterator[bytes], *, max_bytes: int) -> bytes | FileBytes:
    """Everything that comes, in a temporary file unless it is little.

    Raises TooManyBytes, DependencyUnavailable when there is no room, and what ``chunks`` does.
    """
    collected = bytearray()
    writer: FileBytesWriter | None = None
    size_bytes = 0
    try:
        async for chunk in chunks:
            size_bytes += len(chunk)
            if size_bytes > max_bytes:
                raise TooManyBytes
            collected += chunk
            if size_bytes > _IN_MEMORY_BYTES:
                with _file_errors():
                    writer = writer or FileBytesWriter()
                    await asyncio.to_thread(writer.write, bytes(collected))
                collected.clear()
        return bytes(collected) if writer is None else writer.finish()
    finally:
        if writer is not None:
            writer.discard()


async def whole(content: bytes | FileBytes) -> bytes:
    """All of it in memory."""
    if isinstance(content, bytes):
        return content
    return await asyncio.to_thread(content.read_at, 0, len(content))


@contextmanager
def _file_errors() -> Iterator[None]:
    try:
        yield
    except OSError as exc:
        raise DependencyUnavailable(
            "there is no room for a temporary file", metadata={"dependency": "temporary files"}
        ) from exc


def _sha256(content: bytes | FileBytes) -> bytes:
    digest = hashlib.sha256()
    for piece in pieces_of(content):
        digest.update(piece)
    return digest.digest()
