"""Large input pictures: in memory a few at a time, and in files else."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from PIL import Image

from flow2api_common.clock import utc_now
from flow2api_common.database import Database
from flow2api_common.errors import InvalidArgument
from flow2api_common.file_bytes import FileBytes
from flow2api_common.media_store import MediaStore
from flow2api_common.settings import load_settings
from flow2api_generation_service.images.request import request_hash
from flow2api_generation_service.media.input_pictures import whole
from flow2api_generation_service.media.service import MediaService
from flow2api_generation_service.settings import MediaRetentionSettings
from flow2api_proto.generation.v1 import image_pb2, media_pb2

KEY = "key_1"
UPLOADS = 6


class WatchedStore(MediaStore):
    """Counts what is being stored at the same time."""

    under_way = 0
    most_under_way = 0

    async def put(self, key: str, data: bytes, *, content_type: str) -> None:
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        try:
            for _ in range(3):
                await asyncio.sleep(0)
            await super().put(key, data, content_type=content_type)
        finally:
            self.under_way -= 1


@pytest.fixture(scope="module")
def large() -> bytes:
    """A picture that is not kept in memory."""
    noise = io.BytesIO()
    Image.effect_noise((800, 800), 200).save(noise, "PNG", compress_level=0)
    assert len(noise.getvalue()) > 512 * 1024
    return noise.getvalue()


@pytest.fixture
def store(media_url: str) -> MediaStore:
    return WatchedStore.open(media_url)


@pytest.fixture
def media(database: Database, store: MediaStore, large: bytes) -> MediaService:
    settings = load_settings(MediaRetentionSettings, upload_bytes_at_once=2 * len(large))
    return MediaService(database=database, store=store, settings=settings, clock=utc_now)


async def chunks(data: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(data), 100_000):
        yield data[start : start + 100_000]
        await asyncio.sleep(0)


async def test_uploads_are_in_memory_two_at_a_time_where_two_fit(
    media: MediaService, store: WatchedStore, large: bytes
) -> None:
    rows = await asyncio.gather(
        *(media.save_upload(chunks(large), api_key_id=KEY, file_name="") for _ in range(UPLOADS))
    )
    assert [row.size_bytes for row in rows] == [len(large)] * UPLOADS
    assert 1 <= store.most_under_way <= 2


async def test_small_uploads_and_slow_ones_keep_nobody_waiting(
    media: MediaService, picture: Callable[..., bytes], large: bytes
) -> None:
    never = asyncio.Event()

    async def slow() -> AsyncIterator[bytes]:
        yield large[:-1]
        await never.wait()

    senders = [asyncio.create_task(media.save_upload(slow(), api_key_id=KEY, file_name="")) for _ in range(UPLOADS)]
    async with asyncio.timeout(10):
        for each in (large, picture()):
            row = await media.save_upload(chunks(each), api_key_id=KEY, file_name="")
            assert row.size_bytes == len(each)
    for sender in senders:
        sender.cancel()
    ended = await asyncio.gather(*senders, return_exceptions=True)
    assert all(isinstance(each, asyncio.CancelledError) for each in ended)


async def test_refused_uploads_leave_no_turn_behind(media: MediaService, large: bytes) -> None:
    for _ in range(3):
        with pytest.raises(InvalidArgument):
            await media.save_upload(chunks(b"text" + large), api_key_id=KEY, file_name="")
    async with asyncio.timeout(10):
        await media.save_upload(chunks(large), api_key_id=KEY, file_name="")


async def test_large_stored_picture_is_opened_and_outlives_its_file(
    media: MediaService, store: MediaStore, large: bytes
) -> None:
    row = await media.save_upload(chunks(large), api_key_id=KEY, file_name="")
    opened = await media.load_picture(media_pb2.InputImage(media_id=row.media_id), api_key_id=KEY)
    assert isinstance(opened.data, FileBytes)
    assert (opened.content_type, opened.width, opened.height) == ("image/png", 800, 800)
    await store.delete(row.object_key)
    assert await whole(opened.data) == large


async def test_a_request_is_the_same_with_its_picture_inside_or_stored(media: MediaService, large: bytes) -> None:
    row = await media.save_upload(chunks(large), api_key_id=KEY, file_name="")
    hashes = set()
    for image in (media_pb2.InputImage(data=large), media_pb2.InputImage(media_id=row.media_id)):
        request: Any = image_pb2.GenerateImageRequest(model_id="m", prompt="p", api_key_id=KEY, input_images=[image])
        hashes.add(await request_hash(request, [await media.load_picture(image, api_key_id=KEY)]))
    assert len(hashes) == 1
