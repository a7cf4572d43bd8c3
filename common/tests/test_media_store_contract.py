"""What a media store promises, on a directory and on an object store."""

from __future__ import annotations

import asyncio
import tracemalloc
from collections.abc import AsyncIterator
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from obstore.store import MemoryStore

from flow2api_common.errors import DependencyUnavailable, InvalidArgument, NotFound
from flow2api_common.file_bytes import FileBytes, pieces_of
from flow2api_common.media_store import MediaStore, media_key
from flow2api_common.media_url import Bucket, read_media_url
from flow2api_testing.s3 import S3Server

KEY = "media/ab/clip.mp4"
MIB = 1024 * 1024


@pytest.fixture(params=["directory", "objects", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> MediaStore:
    match request.param:
        case "directory":
            return MediaStore.open(f"file://{tmp_path}/deep/media")
        case "objects":
            return MediaStore(MemoryStore())
    s3: S3Server = request.getfixturevalue("s3")
    return MediaStore.open(s3.media_url())


async def pieces(*parts: bytes) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


async def read(store: MediaStore, start: int = 0, end: int | None = None) -> bytes:
    return b"".join([piece async for piece in store.stream(KEY, start=start, end=end)])


def files_below(directory: Path) -> list[Path]:
    return [path for path in directory.rglob("*") if path.is_file()]


async def assert_nothing_there(store: MediaStore, tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        await store.size(KEY)
    assert files_below(tmp_path) == []


class TestPut:
    async def test_what_was_put_is_there(self, store: MediaStore) -> None:
        await store.put(KEY, b"bytes", content_type="video/mp4")
        assert await store.get(KEY, max_bytes=100) == b"bytes"
        assert await store.size(KEY) == 5

    async def test_a_second_put_replaces(self, store: MediaStore) -> None:
        await store.put(KEY, b"first", content_type="video/mp4")
        await store.put(KEY, b"second", content_type="video/mp4")
        assert await store.get(KEY, max_bytes=100) == b"second"


class TestHold:
    @pytest.mark.parametrize("size_bytes", [0, 1000, 3 * MIB])
    async def test_what_is_held_outlives_the_file(self, store: MediaStore, size_bytes: int) -> None:
        await store.put(KEY, b"x" * size_bytes, content_type="image/png")
        held = await store.hold(KEY, max_bytes=3 * MIB)
        await store.delete(KEY)
        assert isinstance(held, FileBytes) == (size_bytes > MIB)
        assert b"".join(pieces_of(held)) == b"x" * size_bytes

    async def test_nothing_is_held_past_the_limit_or_of_a_missing_file(self, store: MediaStore) -> None:
        await store.put(KEY, b"x" * MIB, content_type="image/png")
        with pytest.raises(InvalidArgument):
            await store.hold(KEY, max_bytes=MIB - 1)
        with pytest.raises(NotFound):
            await store.hold("media/xx/none.png", max_bytes=MIB)


class TestPutStream:
    async def test_gives_the_size(self, store: MediaStore) -> None:
        parts = [bytes([number]) * MIB for number in range(12)]
        size = await store.put_stream(KEY, pieces(*parts), content_type="video/mp4", max_bytes=20 * MIB)
        assert size == 12 * MIB
        assert await read(store) == b"".join(parts)

    async def test_an_empty_file_is_a_file(self, store: MediaStore) -> None:
        assert await store.put_stream(KEY, pieces(), content_type="video/mp4", max_bytes=1) == 0
        assert await store.size(KEY) == 0

    async def test_exactly_the_limit_is_allowed(self, store: MediaStore) -> None:
        assert await store.put_stream(KEY, pieces(b"ab", b"", b"c"), content_type="video/mp4", max_bytes=3) == 3

    async def test_past_the_limit_nothing_is_left(self, store: MediaStore, tmp_path: Path) -> None:
        with pytest.raises(InvalidArgument) as caught:
            await store.put_stream(KEY, pieces(*[b"x" * MIB] * 9), content_type="video/mp4", max_bytes=8 * MIB)
        assert caught.value.reason == "MEDIA_TOO_LARGE"
        await assert_nothing_there(store, tmp_path)

    async def test_a_source_that_fails_leaves_nothing(self, store: MediaStore, tmp_path: Path) -> None:
        async def failing() -> AsyncIterator[bytes]:
            for _ in range(11):
                yield b"x" * MIB
            raise ConnectionError("the upstream went away")

        with pytest.raises(ConnectionError, match="the upstream went away"):
            await store.put_stream(KEY, failing(), content_type="video/mp4", max_bytes=100 * MIB)
        await assert_nothing_there(store, tmp_path)

    async def test_cancelling_leaves_nothing(self, store: MediaStore, tmp_path: Path) -> None:
        is_waiting = asyncio.Event()

        async def endless() -> AsyncIterator[bytes]:
            for _ in range(11):
                yield b"x" * MIB
            is_waiting.set()
            await asyncio.Event().wait()

        source = endless()
        upload = asyncio.create_task(store.put_stream(KEY, source, content_type="video/mp4", max_bytes=100 * MIB))
        await is_waiting.wait()
        upload.cancel()
        with pytest.raises(asyncio.CancelledError):
            await upload
        await assert_nothing_there(store, tmp_path)

    async def test_a_failed_replacement_keeps_the_old_file(self, store: MediaStore) -> None:
        await store.put(KEY, b"old", content_type="video/mp4")
        with pytest.raises(InvalidArgument):
            await store.put_stream(KEY, pieces(*[b"x" * MIB] * 9), content_type="video/mp4", max_bytes=8 * MIB)
        assert await store.get(KEY, max_bytes=100) == b"old"

    async def test_the_source_may_have_a_timeout_inside(self, store: MediaStore) -> None:
        async def timed() -> AsyncIterator[bytes]:
            async with asyncio.timeout(30):
                yield b"a"
                yield b"b"

        assert await store.put_stream(KEY, timed(), content_type="video/mp4", max_bytes=10) == 2


async def test_memory_stays_constant_whatever_the_size(tmp_path: Path) -> None:
    store = MediaStore.open(f"file://{tmp_path}")

    async def large() -> AsyncIterator[bytes]:
        for _ in range(128):
            yield bytes(MIB)

    tracemalloc.start()
    try:
        await store.put_stream(KEY, large(), content_type="video/mp4", max_bytes=200 * MIB)
        received = 0
        async with aclosing(store.stream(KEY)) as stream:
            async for piece in stream:
                received += len(piece)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert received == 128 * MIB
    assert peak < 32 * MIB


class TestStream:
    @pytest.mark.parametrize(
        ("start", "end", "expected"),
        [(0, None, b"0123456789"), (3, 6, b"345"), (7, None, b"789"), (5, 99, b"56789"), (4, 4, b""), (10, None, b"")],
    )
    async def test_ranges(self, store: MediaStore, start: int, end: int | None, expected: bytes) -> None:
        await store.put(KEY, b"0123456789", content_type="video/mp4")
        assert await read(store, start, end) == expected

    async def test_a_start_past_the_end_is_refused(self, store: MediaStore) -> None:
        await store.put(KEY, b"0123456789", content_type="video/mp4")
        with pytest.raises(InvalidArgument) as caught:
            await read(store, 11)
        assert caught.value.reason == "RANGE_NOT_SATISFIABLE"

    async def test_a_file_may_be_left_in_the_middle(self, store: MediaStore) -> None:
        await store.put(KEY, bytes(4 * MIB), content_type="video/mp4")
        async with aclosing(store.stream(KEY)) as stream:
            assert len(await anext(stream)) > 0
        assert await store.size(KEY) == 4 * MIB


class TestRead:
    async def test_gives_exactly_the_bytes_between(self, store: MediaStore) -> None:
        await store.put(KEY, b"0123456789", content_type="video/mp4")
        assert await store.read(KEY, start=3, end=7) == b"3456"
        assert await store.read(KEY, start=0, end=10) == b"0123456789"

    async def test_of_a_missing_file_says_not_found(self, store: MediaStore) -> None:
        with pytest.raises(NotFound):
            await store.read(KEY, start=0, end=1)

    async def test_many_ranges_at_the_same_time(self, store: MediaStore) -> None:
        content = bytes(range(256)) * 4096
        await store.put_stream(KEY, pieces(*[content] * 7), content_type="video/mp4", max_bytes=10 * MIB)
        size, step = 7 * len(content), 999_983
        starts = range(0, size, step)
        parts = await asyncio.gather(*(read(store, start, start + step) for start in starts))
        assert b"".join(parts) == content * 7


class TestPages:
    async def test_name_every_media_file_once_and_nothing_else(self, store: MediaStore) -> None:
        keys = {f"media/{number:02}/{number}.png" for number in range(7)}
        before = datetime.now(UTC) - timedelta(minutes=1)
        for key in keys | {"other/file.png"}:
            await store.put(key, b"x", content_type="image/png")
        pages = [page async for page in store.pages(page_size=3)]
        assert all(1 <= len(page) <= 3 for page in pages)
        listed = [file for page in pages for file in page]
        assert sorted(file.key for file in listed) == sorted(keys)
        assert all(file.modified_time > before for file in listed)

    async def test_of_an_empty_store_are_none(self, store: MediaStore) -> None:
        assert [page async for page in store.pages(page_size=3)] == []

    async def test_forget_what_was_deleted(self, store: MediaStore) -> None:
        await store.put(KEY, b"x", content_type="video/mp4")
        await store.delete(KEY)
        assert [page async for page in store.pages(page_size=3)] == []


class TestMissing:
    async def test_every_reader_says_not_found(self, store: MediaStore) -> None:
        for reading in (store.get(KEY, max_bytes=1), store.size(KEY), read(store)):
            with pytest.raises(NotFound) as caught:
                await reading
            assert caught.value.reason == "MEDIA_NOT_FOUND"

    async def test_deleting_is_fine_and_repeats(self, store: MediaStore) -> None:
        await store.put(KEY, b"x", content_type="video/mp4")
        await store.delete(KEY)
        await store.delete(KEY)
        with pytest.raises(NotFound):
            await store.size(KEY)


async def test_too_large_a_file_is_not_read(store: MediaStore) -> None:
    await store.put(KEY, b"12345", content_type="video/mp4")
    with pytest.raises(InvalidArgument) as caught:
        await store.get(KEY, max_bytes=4)
    assert caught.value.reason == "MEDIA_TOO_LARGE"


class TestPing:
    async def test_a_store_that_is_there_answers(self, store: MediaStore) -> None:
        await store.ping()

    async def test_a_directory_that_is_gone_does_not(self, tmp_path: Path) -> None:
        directory = tmp_path / "media"
        store = MediaStore.open(f"file://{directory}")
        directory.rmdir()
        with pytest.raises(DependencyUnavailable):
            await store.ping()

    async def test_a_bucket_that_is_away_does_not(self, unused_tcp_port: int, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("flow2api_common.media_store._MAX_RETRIES", 0)
        monkeypatch.setattr("flow2api_common.media_store._RETRY_TIMEOUT", timedelta(seconds=1))
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "nobody")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "nothing")
        store = MediaStore.open(f"s3://bucket/prefix?endpoint=http://127.0.0.1:{unused_tcp_port}&region=us-east-1")
        with pytest.raises(DependencyUnavailable):
            await store.ping()


def test_a_directory_that_cannot_be_made_is_a_dependency_unavailable(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DependencyUnavailable):
        MediaStore.open(f"file://{tmp_path}/file/media")


class TestBucket:
    async def test_prefixes_do_not_see_each_other(self, s3: S3Server) -> None:
        one, other = MediaStore.open(s3.media_url()), MediaStore.open(s3.media_url())
        await one.put(KEY, b"x", content_type="video/mp4")
        assert [page async for page in other.pages(page_size=3)] == []
        with pytest.raises(NotFound):
            await other.size(KEY)

    async def test_wrong_credentials_are_a_dependency_unavailable(
        self, s3: S3Server, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
        store = MediaStore.open(s3.media_url())
        for attempt in (store.ping(), store.put(KEY, b"x", content_type="video/mp4"), store.size(KEY)):
            with pytest.raises(DependencyUnavailable):
                await attempt

    async def test_a_missing_bucket_is_not_ready(self, s3: S3Server) -> None:
        store = MediaStore.open(f"s3://no-such-bucket/prefix?endpoint={s3.endpoint}&region=us-east-1")
        with pytest.raises(DependencyUnavailable):
            await store.ping()


@pytest.mark.parametrize(
    ("url", "complaint"),
    [
        ("ftp://host/media", "s3://"),
        ("file://host/media", "absolute"),
        ("s3:///prefix", "bucket"),
        ("s3://key:secret@bucket/prefix", "AWS_SECRET_ACCESS_KEY"),
        ("s3://bucket?endpoint=s3.example.com", "https://"),
        ("s3://bucket?path_style=maybe", "path_style"),
        ("s3://bucket?secret_access_key=secret", "may have endpoint, path_style, region"),
        ("s3://bucket?region=", "each once"),
    ],
)
def test_other_urls_are_refused_with_a_reason_that_repeats_nothing(url: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint) as caught:
        MediaStore.open(url)
    assert "secret" not in str(caught.value)


def test_a_bucket_url_says_where_and_how() -> None:
    url = "s3://media/flow2api/one?endpoint=https://s3.example.com:9000&region=eu-1&path_style=false"
    assert read_media_url(url) == Bucket(
        name="media",
        prefix="flow2api/one",
        endpoint="https://s3.example.com:9000",
        region="eu-1",
        path_style=False,
    )


def test_keys_spread_by_the_end_of_the_id() -> None:
    assert media_key("media_0190aabbccdd", "video/mp4") == "media/dd/media_0190aabbccdd.mp4"
