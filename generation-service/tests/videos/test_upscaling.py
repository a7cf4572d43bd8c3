"""The second stage: the finished clip is enlarged on the same token, or kept as it is."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import update

from flow2api_common.clock import utc_now
from flow2api_common.database import Database
from flow2api_common.errors import CapacityError
from flow2api_generation_service.videos.models import JobRow
from flow2api_generation_service.videos.submit_upscale import UpscaleStage
from flow2api_proto.generation.v1 import video_pb2
from flow2api_sandbox.faults import Fault, FaultKind
from flow2api_testing.waiting import eventually

MODEL = "veo_3_1_t2v_fast_1080p"


async def test_an_enlarged_clip_is_stored(videos: Any, pool: Any) -> None:
    video = await videos.create(model_id=MODEL)
    done = await videos.until(video.video_id, "completed")
    assert (done.size.width, done.size.height) == (1920, 1080)
    assert not done.warning
    assert pool.outcome_names == ["OK"]
    assert len(pool.acquired) == 1


@pytest.mark.parametrize("kind", [FaultKind.TIER, FaultKind.LOST_ANSWER, FaultKind.FAIL])
async def test_the_base_clip_is_kept_when_enlarging_fails(videos: Any, pool: Any, kind: FaultKind) -> None:
    videos.sandbox.world.faults.add(Fault(kind=kind, route="flow.video_upsample"))
    video = await videos.create(model_id=MODEL)
    done = await videos.until(video.video_id, "completed")
    assert (done.size.width, done.size.height) == (1280, 720)
    assert not done.error.code
    assert "could not be enlarged to 1080p" in done.warning


class TestWithoutRoomForTheEnlargement:
    @pytest.fixture(autouse=True)
    def no_room(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The account has no place for the second stage, as when its lease ran out and others took it."""

        async def refuse(self: UpscaleStage, job: Any) -> None:
            raise CapacityError("all busy")

        monkeypatch.setattr(UpscaleStage, "_kept_lease", refuse)

    async def test_a_cancellation_gives_the_lease_back(self, videos: Any, pool: Any) -> None:
        video = await videos.create(model_id=MODEL)
        await videos.until(video.video_id, "upscaling")
        assert pool.live_leases == 1
        await videos.stub.CancelVideo(video_pb2.CancelVideoRequest(video_id=video.video_id, api_key_id="key_1"))
        await eventually(lambda: pool.live_leases == 0)
        assert pool.outcome_names == ["OK"]

    async def test_the_base_clip_is_kept_at_the_deadline(self, videos: Any, sqlite_database: Database) -> None:
        video = await videos.create(model_id=MODEL)
        await videos.until(video.video_id, "upscaling")
        async with sqlite_database.transaction() as session:
            await session.execute(update(JobRow).values(deadline_time=utc_now()))
        done = await videos.until(video.video_id, "completed")
        assert "could not be enlarged to 1080p" in done.warning
