"""Files go when their time is over or all take too much, with what was made of them; what is needed stays."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from flow2api_common.clock import utc_now
from flow2api_common.database import Database
from flow2api_common.errors import DependencyUnavailable, NotFound
from flow2api_common.media_store import MediaStore, media_key
from flow2api_common.settings import load_settings
from flow2api_generation_service.media.models import MediaRow
from flow2api_generation_service.media.repository import MediaRepository
from flow2api_generation_service.media.retention import MediaRetention
from flow2api_generation_service.media.service import MediaService
from flow2api_generation_service.media.sweep import MediaSweep
from flow2api_generation_service.settings import MediaRetentionSettings
from flow2api_generation_service.videos.models import JobInputImageRow, JobRow
from flow2api_generation_service.videos.repository import JobRepository
from flow2api_generation_service.videos.states import JobState
from flow2api_testing.s3 import S3Server

DAY = timedelta(days=1)


class Shelf:
    """Files with rows, and what looks after them, at a time that the tests choose."""

    def __init__(self, database: Database, store: MediaStore, **settings: object) -> None:
        self.database, self.store = database, store
        self.ahead = timedelta(0)
        self.settings = load_settings(MediaRetentionSettings, **settings)
        self.media = MediaService(database=database, store=store, settings=self.settings, clock=self.now)
        self.retention = MediaRetention(database=database, media=self.media, settings=self.settings, clock=self.now)
        self.sweep = MediaSweep(database=database, store=store, settings=self.settings, clock=self.now)

    def now(self) -> datetime:
        return utc_now() + self.ahead

    async def put(
        self, media_id: str, *, age: timedelta = DAY, size_bytes: int = 100, clip: str | None = None, job: str = ""
    ) -> MediaRow:
        key = media_key(media_id, "image/webp" if clip else "video/mp4")
        await self.store.put(key, bytes(size_bytes), content_type="video/mp4")
        row = self.media.new_row(media_id=media_id, object_key=key, content_type="video/mp4", size_bytes=size_bytes)
        row.create_time -= age
        row.derived_from, row.variant, row.generation_id = clip, "thumbnail" if clip else "", job
        await self.media.record(row)
        return row

    async def job(self, video_id: str, state: JobState, input_media_id: str) -> None:
        now = self.now()
        job = JobRow(
            video_id=video_id,
            api_key_id="key_1",
            request_hash="",
            model_id="m",
            prompt="waves",
            kind="image",
            aspect_ratio="16:9",
            duration_seconds=8,
            resolution="720p",
            seed=1,
            typical_duration_seconds=60,
            deadline_seconds=600,
            state=state,
            create_time=now,
            state_time=now,
            deadline_time=now + DAY,
        )
        picture = JobInputImageRow(video_id=video_id, position=0, media_id=input_media_id, role=1)
        async with self.database.transaction() as session:
            await JobRepository(session).add(job, [picture])

    async def left(self) -> set[str]:
        """Ids of the files of which bytes are there."""
        return {Path(file.key).stem async for page in self.store.pages(page_size=10) for file in page}

    async def rows(self) -> set[str]:
        async with self.database.transaction(read_only=True) as session:
            page = await MediaRepository(session).page(
                after_media_id="", created_before=self.now() + 100 * DAY, limit=1000
            )
        return {row.media_id for row in page}


@pytest.fixture
def media_url(request: pytest.FixtureRequest, database_url: str, media_url: str) -> str:
    """A directory beside SQLite and an object store beside PostgreSQL, as in the two modes."""
    if database_url.startswith("sqlite"):
        return media_url
    s3: S3Server = request.getfixturevalue("s3")
    return s3.media_url()


@pytest.fixture
def shelf(database: Database, media_url: str) -> Callable[..., Shelf]:
    return lambda **settings: Shelf(database, MediaStore.open(media_url), **settings)


class TestTime:
    async def test_a_file_goes_with_what_was_made_of_it(self, shelf: Callable[..., Shelf]) -> None:
        here = shelf()
        clip = await here.put("clip")
        await here.put("still", clip="clip")
        here.ahead = 8 * DAY
        with pytest.raises(NotFound):
            await here.media.get(clip.media_id)
        await here.put("young")
        await here.retention.run_once()
        assert await here.left() == await here.rows() == {"young"}

    async def test_an_input_stays_until_its_job_is_handed_in(self, shelf: Callable[..., Shelf]) -> None:
        here = shelf()
        await here.put("needed")
        await here.put("spent")
        await here.job("video_1", JobState.QUEUED, "needed")
        await here.job("video_2", JobState.IN_PROGRESS, "spent")
        here.ahead = 30 * DAY
        await here.retention.run_once()
        assert await here.left() == {"needed"}

    async def test_a_picture_of_one_job_alone_goes_once_that_is_handed_in(self, shelf: Callable[..., Shelf]) -> None:
        here = shelf()
        await here.put("own", job="video_1")
        await here.put("upload")
        await here.put("waiting", job="video_3")
        await here.job("video_1", JobState.IN_PROGRESS, "own")
        await here.job("video_2", JobState.IN_PROGRESS, "upload")
        await here.job("video_3", JobState.SUBMITTING, "waiting")
        await here.retention.run_once()
        assert await here.left() == {"upload", "waiting"}

    async def test_bytes_that_cannot_be_removed_now_are_removed_later(
        self, shelf: Callable[..., Shelf], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def fail(self: MediaStore, key: str) -> None:
            raise DependencyUnavailable("the media store is away")

        here = shelf()
        await here.put("clip")
        async with here.database.transaction() as session:
            await MediaRepository(session).expire(["clip"], now=here.now())
        with monkeypatch.context() as patched:
            patched.setattr(MediaStore, "delete", fail)
            await here.media.remove_expired(["clip"])
        assert await here.left() == await here.rows() == {"clip"}
        await here.retention.run_once()
        assert await here.left() == await here.rows() == set()


class TestTotalSize:
    async def test_the_oldest_go_until_the_rest_fits(self, shelf: Callable[..., Shelf]) -> None:
        here = shelf(media_max_total_bytes=250)
        for days in (4, 3, 2, 1):
            await here.put(f"old{days}", age=days * DAY)
        await here.retention.run_once()
        assert await here.left() == {"old1", "old2"}

    async def test_what_was_made_of_a_file_counts_and_goes_with_it(self, shelf: Callable[..., Shelf]) -> None:
        here = shelf(media_max_total_bytes=150)
        await here.put("clip", age=2 * DAY)
        await here.put("still", age=2 * DAY, clip="clip")
        await here.put("other")
        await here.retention.run_once()
        assert await here.left() == {"other"}

    async def test_young_files_and_needed_inputs_stay(self, shelf: Callable[..., Shelf]) -> None:
        here = shelf(media_max_total_bytes=1)
        await here.put("young", age=timedelta(minutes=5))
        await here.put("needed", age=5 * DAY)
        await here.put("old")
        await here.job("video_1", JobState.QUEUED, "needed")
        await here.retention.run_once()
        assert await here.left() == {"young", "needed"}

    async def test_two_replicas_remove_no_more_than_one(self, shelf: Callable[..., Shelf]) -> None:
        here, there = shelf(media_max_total_bytes=250), shelf(media_max_total_bytes=250)
        for days in range(1, 7):
            await here.put(f"old{days}", age=days * DAY)
        await here.retention.run_once()
        await there.retention.run_once()
        assert await here.left() == {"old1", "old2"}


class TestSweep:
    async def test_old_bytes_without_a_row_go(self, shelf: Callable[..., Shelf]) -> None:
        here = shelf()
        await here.put("known")
        await here.store.put(media_key("orphan", "video/mp4"), b"clip", content_type="video/mp4")
        await here.store.put("media/uploads/given-up/8388608", b"piece", content_type="application/octet-stream")
        await here.sweep.run_once()
        assert await here.left() == {"known", "orphan", "8388608"}
        here.ahead = 2 * DAY
        await here.sweep.run_once()
        assert await here.left() == {"known"}

    async def test_a_row_without_bytes_goes(self, shelf: Callable[..., Shelf]) -> None:
        here = shelf()
        await here.put("whole", age=2 * DAY)
        lost = await here.put("lost", age=2 * DAY)
        await here.store.delete(lost.object_key)
        await here.sweep.run_once()
        assert await here.rows() == {"whole"}

    async def test_an_empty_store_is_not_believed(self, shelf: Callable[..., Shelf]) -> None:
        here = shelf()
        for number in range(12):
            row = await here.put(f"clip{number}", age=2 * DAY)
            await here.store.delete(row.object_key)
        await here.sweep.run_once()
        assert len(await here.rows()) == 12

    async def test_the_first_sweep_waits_for_its_interval(self, shelf: Callable[..., Shelf]) -> None:
        here = shelf(media_orphan_grace=timedelta(seconds=1))
        await here.store.put(media_key("orphan", "video/mp4"), b"clip", content_type="video/mp4")
        await here.sweep.run_when_due()
        here.ahead = timedelta(hours=5)
        await here.sweep.run_when_due()
        assert await here.left() == {"orphan"}
        here.ahead = timedelta(hours=7)
        await here.sweep.run_when_due()
        assert await here.left() == set()
