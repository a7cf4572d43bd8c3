"""Files are stored whole, found by their owner, and go when their time is over."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from datetime import datetime, timedelta
from typing import Any

import pytest

from flow2api_common.clock import utc_now
from flow2api_common.database import Database
from flow2api_common.errors import InvalidArgument, NotFound
from flow2api_common.media_store import MediaStore
from flow2api_common.settings import load_settings
from flow2api_generation_service.media.listing import media_page
from flow2api_generation_service.media.service import MediaService, Origin
from flow2api_generation_service.settings import MediaRetentionSettings
from flow2api_proto.generation.v1 import generation_service_pb2, media_pb2


class TurnedClock:
    def __init__(self) -> None:
        self.ahead = timedelta(0)

    def __call__(self) -> datetime:
        return utc_now() + self.ahead


@pytest.fixture
def clock() -> TurnedClock:
    return TurnedClock()


@pytest.fixture
def store(media_url: str) -> MediaStore:
    return MediaStore.open(media_url)


@pytest.fixture
def media(database: Database, store: MediaStore, clock: TurnedClock) -> MediaService:
    settings = load_settings(MediaRetentionSettings, upload_max_bytes=10_000)
    return MediaService(database=database, store=store, settings=settings, clock=clock)


async def chunks(data: bytes, size: int = 100) -> AsyncIterator[bytes]:
    for start in range(0, len(data), size):
        yield data[start : start + size]


async def test_saved_picture_is_found_with_its_facts(
    media: MediaService, store: MediaStore, picture: Callable[..., bytes]
) -> None:
    data = picture((70, 40), "JPEG")
    saved = await media.save_image(data, Origin(api_key_id="key_1", generation_id="image_1"))
    found = await media.get(saved.media_id)
    assert (found.content_type, found.width, found.height, found.size_bytes) == ("image/jpeg", 70, 40, len(data))
    assert found.media_id.isalnum()
    assert found.object_key.endswith(".jpg")
    assert await store.get(found.object_key, max_bytes=10_000) == data


async def test_upload_is_stored_and_usable_as_input(media: MediaService, picture: Callable[..., bytes]) -> None:
    data = picture((70, 40))
    row = await media.save_upload(chunks(data), api_key_id="key_1", file_name="cat.png")
    source = await media.load_input(row.media_id)
    assert (source.data, source.mime_type) == (data, "image/png")
    assert row.expire_time is not None
    assert row.expire_time - row.create_time == timedelta(days=1)


@pytest.mark.parametrize("data", [b"not a picture", b""])
async def test_upload_that_is_no_picture_is_refused(media: MediaService, data: bytes) -> None:
    with pytest.raises(InvalidArgument) as raised:
        await media.save_upload(chunks(data), api_key_id="key_1", file_name="x")
    assert raised.value.reason == "INVALID_IMAGE"


async def test_upload_over_the_limit_is_refused_before_it_has_all_come(media: MediaService) -> None:
    drawn = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal drawn
        while True:
            drawn += 1
            yield b"x" * 1000

    with pytest.raises(InvalidArgument) as raised:
        await media.save_upload(endless(), api_key_id="key_1", file_name="x")
    assert raised.value.reason == "INVALID_IMAGE"
    assert drawn == 11


async def test_inline_input_is_looked_at(media: MediaService, picture: Callable[..., bytes]) -> None:
    source = await media.load_picture(media_pb2.InputImage(data=picture(kind="WEBP")))
    assert source.content_type == "image/webp"
    for bad in (media_pb2.InputImage(data=b"GIF89a nothing"), media_pb2.InputImage()):
        with pytest.raises(InvalidArgument) as raised:
            await media.load_picture(bad)
        assert raised.value.violations[0].field == "input_images"


async def test_file_of_another_key_is_not_found(media: MediaService, picture: Callable[..., bytes]) -> None:
    row = await media.save_image(picture(), Origin(api_key_id="key_1"))
    with pytest.raises(NotFound) as raised:
        await media.load_picture(media_pb2.InputImage(media_id=row.media_id), api_key_id="key_2")
    assert raised.value.reason == "MEDIA_NOT_FOUND"


async def test_a_key_lists_its_own_files_newest_first(
    media: MediaService, clock: TurnedClock, picture: Callable[..., bytes]
) -> None:
    expired = await media.save_upload(chunks(picture()), api_key_id="key_1", file_name="old")
    clock.ahead = timedelta(days=2)
    uploaded = await media.save_upload(chunks(picture()), api_key_id="key_1", file_name="mine")
    await media.save_image(picture(), Origin(api_key_id="key_2", generation_id="image_2"))
    made = await media.save_image(picture(), Origin(api_key_id="key_1", generation_id="image_1"))
    request = generation_service_pb2.ListMediaRequest(api_key_id="key_1", page_size=1)
    first = await media_page(request, media)
    request.page_token = first.next_page_token
    second = await media_page(request, media)
    listed = [*first.media, *second.media]
    assert [each.media_id for each in listed] == [made.media_id, uploaded.media_id]
    assert [(each.generated, each.file_name) for each in listed] == [(True, ""), (False, "mine")]
    assert second.next_page_token == ""
    assert expired.media_id not in [each.media_id for each in listed]


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"api_key_id": ""}, "api_key_id"),
        ({"page_size": 101}, "page_size"),
        ({"page_size": -1}, "page_size"),
        ({"page_token": "'"}, "page_token"),
    ],
)
async def test_a_senseless_listing_is_refused(media: MediaService, fields: dict[str, Any], field: str) -> None:
    request = generation_service_pb2.ListMediaRequest(**{"api_key_id": "key_1", **fields})
    with pytest.raises(InvalidArgument) as raised:
        await media_page(request, media)
    assert raised.value.violations[0].field == field


async def test_a_file_is_its_owner_s_to_remove(media: MediaService, picture: Callable[..., bytes]) -> None:
    row = await media.save_image(picture(), Origin(api_key_id="key_1"))
    nobodys = await media.save_image(picture())
    for media_id, stranger in ((row.media_id, "key_2"), (row.media_id, ""), (nobodys.media_id, "key_1")):
        with pytest.raises(NotFound):
            await media.get_own(media_id, api_key_id=stranger)
    assert (await media.get_own(row.media_id, api_key_id="key_1")).media_id == row.media_id


async def test_stored_input_is_kept_once(media: MediaService, picture: Callable[..., bytes]) -> None:
    first = await media.store_input(media_pb2.InputImage(data=picture()), api_key_id="key_1", generation_id="video_1")
    stored = media_pb2.InputImage(media_id=first.media_id)
    again = await media.store_input(stored, api_key_id="key_1", generation_id="video_2")
    assert again.media_id == first.media_id


async def test_recording_twice_keeps_the_first(media: MediaService, picture: Callable[..., bytes]) -> None:
    row = await media.save_image(picture((64, 48)))
    repeat = media.new_row(
        media_id=row.media_id, object_key=row.object_key, content_type="image/png", size_bytes=1, width=1
    )
    await media.record(repeat)
    assert (await media.get(row.media_id)).width == 64
