"""Pictures that are stored in other formats too: found, few, counted, and gone with the picture."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest

from flow2api_common.clock import utc_now
from flow2api_common.database import Database
from flow2api_common.errors import InvalidArgument, NotFound
from flow2api_common.media_store import MediaStore, media_key
from flow2api_common.settings import load_settings
from flow2api_generation_service.media.conversions import MOST_CONVERSIONS, Conversions
from flow2api_generation_service.media.models import MediaRow
from flow2api_generation_service.media.repository import MediaRepository
from flow2api_generation_service.media.service import MediaService, Origin
from flow2api_generation_service.settings import MediaRetentionSettings
from flow2api_proto.generation.v1 import media_pb2


class Gallery:
    """Pictures and their conversions. Each moment is later than the one before."""

    def __init__(self, database: Database, store: MediaStore) -> None:
        self.database, self.store = database, store
        self.ahead = timedelta(0)
        settings = load_settings(MediaRetentionSettings)
        self.media = MediaService(database=database, store=store, settings=settings, clock=self.now)
        self.conversions = Conversions(database=database, media=self.media, clock=self.now)

    def now(self):
        self.ahead += timedelta(milliseconds=1)
        return utc_now() + self.ahead

    async def convert(self, picture: MediaRow, conversion: str) -> media_pb2.Media:
        conversion_id = f"{conversion.replace('-', '')}{picture.media_id[-10:]}"
        stored = media_pb2.Media(
            media_id=conversion_id,
            object_key=media_key(conversion_id, "image/webp"),
            content_type="image/webp",
            size_bytes=50,
        )
        await self.store.put(stored.object_key, bytes(50), content_type="image/webp")
        await self.conversions.keep(picture.media_id, conversion, stored)
        return stored

    async def keys(self) -> set[str]:
        return {file.key async for page in self.store.pages(page_size=50) for file in page}

    async def total_bytes(self) -> int:
        async with self.database.transaction(read_only=True) as session:
            return await MediaRepository(session).total_bytes(now=self.now())


@pytest.fixture
def gallery(database: Database, media_url: str) -> Gallery:
    return Gallery(database, MediaStore.open(media_url))


@pytest.fixture
async def saved(gallery: Gallery, picture: Callable[..., bytes]) -> MediaRow:
    return await gallery.media.save_image(picture((64, 48)), Origin(api_key_id="key_1", generation_id="image_1"))


async def test_is_found_counted_and_gone_with_the_picture(gallery: Gallery, saved: MediaRow) -> None:
    assert await gallery.conversions.find(saved.media_id, "webp-80") is None
    stored = await gallery.convert(saved, "webp-80")
    await gallery.convert(saved, "webp-80")
    found = await gallery.conversions.find(saved.media_id, "webp-80")
    assert found is not None
    assert (found.object_key, found.width, found.expire_time) == (stored.object_key, 64, saved.expire_time)
    assert await gallery.conversions.find(saved.media_id, "webp-81") is None
    assert await gallery.total_bytes() == saved.size_bytes + 50
    assert [row.media_id for row in await gallery.media.list_own("key_1", before="", limit=10)] == [saved.media_id]
    await gallery.media.delete(saved)
    assert await gallery.keys() == set()
    assert await gallery.conversions.find(saved.media_id, "webp-80") is None


async def test_of_one_picture_the_newest_are_kept(gallery: Gallery, saved: MediaRow) -> None:
    names = [f"webp-{quality}" for quality in range(MOST_CONVERSIONS + 3)]
    for name in names:
        await gallery.convert(saved, name)
    kept = [name for name in names if await gallery.conversions.find(saved.media_id, name)]
    assert kept == names[-MOST_CONVERSIONS:]
    assert len(await gallery.keys()) == 1 + MOST_CONVERSIONS


async def test_of_a_picture_that_has_gone_is_refused(gallery: Gallery, saved: MediaRow) -> None:
    await gallery.media.delete(saved)
    with pytest.raises(NotFound) as caught:
        await gallery.convert(saved, "webp-80")
    assert caught.value.reason == "MEDIA_NOT_FOUND"


@pytest.mark.parametrize("conversion", ["", "webp", "../../x-1", "webp-80" * 10])
async def test_other_names_are_refused(gallery: Gallery, saved: MediaRow, conversion: str) -> None:
    stored = media_pb2.Media(media_id="a", object_key="media/a", content_type="image/webp", size_bytes=1)
    with pytest.raises(InvalidArgument) as caught:
        await gallery.conversions.keep(saved.media_id, conversion, stored)
    assert caught.value.violations[0].field == "conversion"
