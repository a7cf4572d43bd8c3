"""Where media files are kept: a directory, or a bucket of anything that speaks S3.

A directory is created when it is missing, a bucket must be there. What the URL (`flow2api_common.media_url`) does not
say of a bucket, obstore takes from the standard ``AWS_…`` variables, credentials above all. An ``http://`` endpoint in
the URL allows plain HTTP.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, TypeAlias, cast

import obstore
from obstore.exceptions import BaseError
from obstore.store import LocalStore, ObjectStore, S3Store

from flow2api_common.errors import DependencyUnavailable, InvalidArgument, NotFound
from flow2api_common.file_bytes import FileBytes, FileBytesWriter
from flow2api_common.logs import get_logger
from flow2api_common.media_types import extension_of
from flow2api_common.media_url import Bucket, read_media_url

log = get_logger(__name__)

# The smallest part that S3 takes; with the parts under way and those waiting it bounds the memory of one upload.
_PART_BYTES = 5 * 1024 * 1024
_PARTS_UNDER_WAY = 2
_CHUNKS_WAITING = 2
_READ_CHUNK_BYTES = 256 * 1024
_IN_MEMORY_BYTES = 256 * 1024
_ABORT_TIMEOUT = timedelta(seconds=10)
_CONNECT_TIMEOUT = timedelta(seconds=5)
_READ_TIMEOUT = timedelta(seconds=30)
_TRANSFER_TIMEOUT = timedelta(minutes=5)
_MAX_RETRIES = 3
_RETRY_TIMEOUT = timedelta(seconds=30)
_RETRY_AFTER = timedelta(seconds=1)
_PING_PREFIX = "ping/"
_MEDIA_PREFIX = "media/"
_SHARD_LENGTH = 2


class _UploadAborted(Exception):
    """Makes obstore take an upload back."""


_Waiting: TypeAlias = asyncio.Queue[bytes | _UploadAborted | None]
"""Chunks on their way into an upload; nothing is the end of the file."""


def media_key(media_id: str, content_type: str) -> str:
    """Where a file belongs: ``media/cd/<media id>.mp4``.

    The directory is named by the end of the id, which is random; the beginning is the time, the same for years.
    """
    return f"{_MEDIA_PREFIX}{media_id[-_SHARD_LENGTH:]}/{media_id}.{extension_of(content_type)}"


@dataclass(frozen=True, slots=True)
class StoredObject:
    """One file of the store, and when it was written."""

    key: str
    modified_time: datetime


class MediaStore:
    """Files by key. An upload becomes visible when it is complete, and not at all when it fails.

    Every method raises DependencyUnavailable when the store cannot be reached. obstore needs no closing.
    """

    def __init__(self, store: ObjectStore, *, directory: Path | None = None) -> None:
        self._store = store
        self._directory = directory

    @classmethod
    def open(cls, media_url: str) -> MediaStore:
        """The store of this URL. Nothing is connected; a directory is created. Raises ValueError when it is none."""
        place = read_media_url(media_url)
        if isinstance(place, Bucket):
            return cls(_s3_store(place))
        with _store_errors():
            return cls(LocalStore(place.path, mkdir=True), directory=place.path)

    async def put(self, key: str, data: bytes, *, content_type: str) -> None:
        """Store a whole file; replaces what is there."""
        with _store_errors():
            await obstore.put_async(self._store, key, data, attributes=self._attributes(content_type))

    async def put_stream(self, key: str, chunks: AsyncIterator[bytes], *, content_type: str, max_bytes: int) -> int:
        """Store a file while it arrives, in constant memory, and give its size in bytes.

        Raises InvalidArgument (MEDIA_TOO_LARGE) past ``max_bytes``, and whatever ``chunks`` raises; then, and when
        cancelled, nothing is left.
        """
        waiting = _Waiting(_CHUNKS_WAITING)
        # The chunks are drawn here and not by obstore, which draws each one in another task: a source with a timeout or
        # a task group inside could not stand that.
        upload = asyncio.ensure_future(self._upload(key, waiting, content_type))
        size_bytes = 0
        try:
            async for chunk in chunks:
                size_bytes += len(chunk)
                _check_size(size_bytes, max_bytes)
                if chunk:
                    await _put_unless_done(waiting, chunk, upload)
            await _put_unless_done(waiting, None, upload)
            await asyncio.shield(upload)
        except BaseException:
            await _abort(upload, waiting)
            raise
        return size_bytes

    async def get(self, key: str, *, max_bytes: int) -> bytes:
        """A whole file. Raises NotFound, and InvalidArgument (MEDIA_TOO_LARGE) before reading past ``max_bytes``."""
        with _store_errors():
            result = await obstore.get_async(self._store, key)
            _check_size(result.meta["size"], max_bytes)
            return bytes(await result.bytes_async())

    async def hold(self, key: str, *, max_bytes: int) -> bytes | FileBytes:
        """A whole file that stays readable although it is removed from the store: small ones in memory, others on disk.

        Raises NotFound, InvalidArgument (MEDIA_TOO_LARGE).
        """
        with _store_errors():
            result = await obstore.get_async(self._store, key)
            size_bytes = result.meta["size"]
            _check_size(size_bytes, max_bytes)
            if size_bytes <= _IN_MEMORY_BYTES:
                return bytes(await result.bytes_async())
            if self._directory is not None:
                return await asyncio.to_thread(FileBytes.open, self._directory / key)
            writer = FileBytesWriter()
            try:
                async for piece in result.stream(min_chunk_size=_READ_CHUNK_BYTES):
                    await asyncio.to_thread(writer.write, bytes(piece))
                return writer.finish()
            finally:
                writer.discard()

    async def read(self, key: str, *, start: int, end: int) -> bytes:
        """The bytes from ``start`` to before ``end``, which must lie within the file. Raises NotFound."""
        with _store_errors():
            return bytes(await obstore.get_range_async(self._store, key, start=start, end=end))

    async def size(self, key: str) -> int:
        """Bytes of a file. Raises NotFound."""
        with _store_errors():
            return (await obstore.head_async(self._store, key))["size"]

    async def stream(self, key: str, *, start: int = 0, end: int | None = None) -> AsyncIterator[bytes]:
        """A file, or its bytes from ``start`` to before ``end``, in pieces.

        An ``end`` past the file means its end. Raises, at the first piece, NotFound, or InvalidArgument
        (RANGE_NOT_SATISFIABLE) for a ``start`` past it.
        """
        with _store_errors():
            size_bytes = await self.size(key)
            stop = size_bytes if end is None else min(end, size_bytes)
            if start > stop:
                raise InvalidArgument("the range begins behind the end", reason="RANGE_NOT_SATISFIABLE")
            if start == stop:
                return
            result = await obstore.get_async(self._store, key, options={"range": (start, stop)})
            async for piece in result.stream(min_chunk_size=_READ_CHUNK_BYTES):
                yield bytes(piece)

    async def pages(self, *, page_size: int) -> AsyncIterator[list[StoredObject]]:
        """All media files, in pieces of that many or fewer, in any order."""
        with _store_errors():
            async for page in obstore.list(self._store, _MEDIA_PREFIX, chunk_size=page_size):
                yield [StoredObject(each["path"], each["last_modified"]) for each in page]

    async def delete(self, key: str) -> None:
        """Remove a file; a missing one is fine."""
        with suppress(NotFound), _store_errors():
            await obstore.delete_async(self._store, key)

    async def ping(self) -> None:
        """Ask the store for an answer; of a directory, whether it can be written."""
        if self._directory is not None:
            if not await asyncio.to_thread(os.access, self._directory, os.W_OK | os.X_OK):
                raise _unavailable()
            return
        # Asking for a file would not tell a missing bucket from a missing file.
        with _store_errors():
            async for _ in obstore.list(self._store, _PING_PREFIX, chunk_size=1):
                return

    def _attributes(self, content_type: str) -> Any:
        # A directory has no place for them; the media table knows the type.
        return None if isinstance(self._store, LocalStore) else {"Content-Type": content_type}

    async def _upload(self, key: str, waiting: _Waiting, content_type: str) -> None:
        async def arriving() -> AsyncIterator[bytes]:
            while (chunk := await waiting.get()) is not None:
                if isinstance(chunk, _UploadAborted):
                    raise chunk
                yield chunk

        with _store_errors():
            await obstore.put_async(
                self._store,
                key,
                arriving(),
                attributes=self._attributes(content_type),
                use_multipart=True,
                chunk_size=_PART_BYTES,
                max_concurrency=_PARTS_UNDER_WAY,
            )


def _s3_store(bucket: Bucket) -> S3Store:
    config: dict[str, Any] = {}
    if bucket.endpoint:
        config["endpoint"] = bucket.endpoint
    if bucket.region:
        config["region"] = bucket.region
    if bucket.path_style is not None:
        config["virtual_hosted_style_request"] = not bucket.path_style
    client_options: dict[str, Any] = {
        "connect_timeout": _CONNECT_TIMEOUT,
        "read_timeout": _READ_TIMEOUT,
        "timeout": _TRANSFER_TIMEOUT,
    }
    if bucket.endpoint.startswith("http://"):
        client_options["allow_http"] = True
    return S3Store(
        bucket.name,
        prefix=bucket.prefix or None,
        client_options=cast("Any", client_options),
        retry_config={"max_retries": _MAX_RETRIES, "retry_timeout": _RETRY_TIMEOUT},
        **config,
    )


@contextmanager
def _store_errors() -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise NotFound("the file is not in the media store", reason="MEDIA_NOT_FOUND") from error
    except (BaseError, OSError) as error:
        raise _unavailable() from error


async def _put_unless_done(waiting: _Waiting, chunk: bytes | None, upload: asyncio.Future[None]) -> None:
    """Wait for room; but an upload that has failed takes nothing any more, and its error is raised."""
    if not waiting.full():
        waiting.put_nowait(chunk)
        return
    putting = asyncio.create_task(waiting.put(chunk))
    try:
        await asyncio.wait({putting, upload}, return_when=asyncio.FIRST_COMPLETED)
        if upload.done():
            upload.result()
    finally:
        if not putting.done():
            putting.cancel()


async def _abort(upload: asyncio.Future[None], waiting: _Waiting) -> None:
    """Let the source fail, so that obstore takes back what it has sent, and wait for that."""
    while not waiting.empty():
        waiting.get_nowait()
    waiting.put_nowait(_UploadAborted())
    done, _ = await asyncio.wait({upload}, timeout=_ABORT_TIMEOUT.total_seconds())
    if not done:
        upload.cancel()
        log.warning("media_upload_not_taken_back")
    elif not upload.cancelled():
        # Seen, so that nobody complains; the caller raises what made it fail.
        upload.exception()


def _check_size(size_bytes: int, max_bytes: int) -> None:
    if size_bytes > max_bytes:
        raise InvalidArgument(f"the file is larger than {max_bytes} bytes", reason="MEDIA_TOO_LARGE")


def _unavailable() -> DependencyUnavailable:
    return DependencyUnavailable("the media store is away", metadata={"dependency": "media"}, retry_after=_RETRY_AFTER)
