"""A video from its acceptance to its file."""

from __future__ import annotations

import io
from typing import Any

import av

from flow2api_common.media_store import MediaStore
from flow2api_proto.generation.v1 import video_pb2


async def test_video_completes_with_a_playable_file(videos: Any, pool: Any, media_url: str) -> None:
    created = await videos.create(prompt="waves against a pier")
    assert created.state == video_pb2.VIDEO_STATE_QUEUED
    done = await videos.until(created.video_id, "completed")

    assert done.progress_percent == 100
    assert (done.size.width, done.size.height) == (1280, 720)
    assert 7_000 <= done.media.duration_ms <= 9_000
    assert done.placement.provider == "flow"
    data = await MediaStore.open(media_url).get(done.media.object_key, max_bytes=100_000_000)
    assert len(data) == done.media.size_bytes
    with av.open(io.BytesIO(data)) as clip:
        assert (clip.streams.video[0].width, clip.streams.video[0].height) == (1280, 720)
    assert videos.submissions("waves against a pier") == 1
    assert pool.live_leases == 0
    assert pool.outcome_names == ["OK"]
