"""Pictures of clips, made in a process of their own; nothing that the process does fails a clip."""

from __future__ import annotations

import asyncio
import io
import os
import signal
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
import pytest_asyncio
from PIL import Image

from flow2api_common.errors import DependencyUnavailable
from flow2api_common.media_store import MediaStore
from flow2api_poller_service.stills.frames import stills_of
from flow2api_poller_service.stills.studio import StillStudio
from flow2api_poller_service.stills.wire import Playability, Still
from flow2api_sandbox.media.clips import render_clip
from flow2api_sandbox.media.recipes import ClipRecipe

KEY = "media/00/clip.mp4"
PORTRAIT = ClipRecipe(width=90, height=160, seconds=4)


def opened(still: Still | None) -> Image.Image:
    assert still is not None
    picture = Image.open(io.BytesIO(still.data))
    picture.load()
    return picture


class TestFrames:
    def test_a_clip_gives_a_thumbnail_and_sixteen_frames(self) -> None:
        stills = stills_of(io.BytesIO(render_clip(PORTRAIT)))
        assert stills.playability is Playability.PLAYABLE
        assert (opened(stills.thumbnail).format, opened(stills.thumbnail).size) == ("WEBP", (90, 160))
        sheet = opened(stills.spritesheet)
        assert (sheet.format, sheet.size) == ("JPEG", (360, 640))
        # The square of the clip moves from the left to the right.
        first, last = sheet.crop((0, 0, 90, 160)), sheet.crop((270, 480, 360, 640))
        assert first.tobytes() != last.tobytes()

    @pytest.mark.parametrize("data", [b"", b"no clip", bytes(4096)])
    def test_what_is_no_clip_is_broken(self, data: bytes) -> None:
        assert stills_of(io.BytesIO(data)).playability is Playability.BROKEN

    def test_pictures_that_do_not_decode_are_broken(self) -> None:
        clip = render_clip(PORTRAIT)
        content = clip.index(b"mdat") + 4
        index = clip.index(b"moov") - 4
        spoiled = clip[:content] + bytes(index - content) + clip[index:]
        assert stills_of(io.BytesIO(spoiled)).playability is Playability.BROKEN

    def test_a_clip_whose_end_is_spoiled_still_has_pictures(self) -> None:
        clip = render_clip(PORTRAIT)
        content, index = clip.index(b"mdat") + 4, clip.index(b"moov") - 4
        middle = (content + index) // 2
        spoiled = clip[:middle] + bytes(index - middle) + clip[index:]
        assert stills_of(io.BytesIO(spoiled)).thumbnail is not None


@pytest.fixture
def store(tmp_path: Path) -> MediaStore:
    return MediaStore.open(f"file://{tmp_path}/media")


@pytest_asyncio.fixture
async def studio(store: MediaStore) -> AsyncIterator[StillStudio]:
    studio = StillStudio(store=store, processes=1, time_limit=timedelta(seconds=60))
    yield studio
    await studio.aclose()


async def put(store: MediaStore, data: bytes) -> int:
    await store.put(KEY, data, content_type="video/mp4")
    return len(data)


def children() -> set[int]:
    return {int(each) for each in Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()}


class TestStudio:
    async def test_one_process_serves_many_clips_also_after_it_was_killed(
        self, store: MediaStore, studio: StillStudio
    ) -> None:
        size_bytes = await put(store, render_clip(PORTRAIT))
        before = children()
        assert (await studio.stills_of(KEY, size_bytes=size_bytes)).thumbnail is not None
        (decoder,) = children() - before
        assert (await studio.stills_of(KEY, size_bytes=size_bytes)).spritesheet is not None
        assert children() - before == {decoder}
        os.kill(decoder, signal.SIGKILL)
        assert (await studio.stills_of(KEY, size_bytes=size_bytes)).thumbnail is not None
        await studio.aclose()
        assert children() == before

    async def test_a_broken_clip_is_told_and_spoils_no_other(self, store: MediaStore, studio: StillStudio) -> None:
        size_bytes = await put(store, bytes(5000))
        assert (await studio.stills_of(KEY, size_bytes=size_bytes)).playability is Playability.BROKEN
        size_bytes = await put(store, render_clip(PORTRAIT))
        assert (await studio.stills_of(KEY, size_bytes=size_bytes)).playability is Playability.PLAYABLE

    async def test_a_decoder_that_takes_too_long_is_ended(self, store: MediaStore) -> None:
        before = children()
        studio = StillStudio(store=store, processes=1, time_limit=timedelta(milliseconds=1))
        size_bytes = await put(store, render_clip(PORTRAIT))
        assert (await studio.stills_of(KEY, size_bytes=size_bytes)).playability is Playability.UNKNOWN
        assert children() == before

    async def test_a_store_that_is_away_leaves_it_unknown(
        self, store: MediaStore, studio: StillStudio, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def fail(self: MediaStore, key: str, *, start: int, end: int) -> bytes:
            raise DependencyUnavailable("the media store is away")

        monkeypatch.setattr(MediaStore, "read", fail)
        assert (await studio.stills_of(KEY, size_bytes=5000)).playability is Playability.UNKNOWN

    async def test_the_decoder_sees_no_environment(
        self, store: MediaStore, studio: StillStudio, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("FLOW2API_SECRET_KEY", "very secret")
        size_bytes = await put(store, render_clip(PORTRAIT))
        before = children()
        await studio.stills_of(KEY, size_bytes=size_bytes)
        (decoder,) = children() - before
        environment = await asyncio.to_thread(Path(f"/proc/{decoder}/environ").read_bytes)
        assert b"FLOW2API" not in environment
