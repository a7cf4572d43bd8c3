"""The second stage: the finished clip is enlarged on the same token, or kept as it is."""

from __future__ import annotations

from typing import Any

import pytest

from flow2api_sandbox.faults import Fault, FaultKind

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
