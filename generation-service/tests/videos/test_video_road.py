"""A video from its acceptance to its file."""

from __future__ import annotations

import hashlib
import io
from typing import Any

import av
import pytest

from flow2api_common.errors import InvalidArgument
from flow2api_common.grpc_client import rpc_errors
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


async def test_a_clip_is_continued_by_its_bytes(videos: Any, media_url: str) -> None:
    made = await videos.create(prompt="a boat leaves")
    done = await videos.until(made.video_id, "completed")
    data = await MediaStore.open(media_url).get(done.media.object_key, max_bytes=100_000_000)
    copy = hashlib.sha256(data).digest()
    longer = await videos.create(model_id="veo_3_1_extend", prompt="it returns", source_sha256=copy)
    assert longer.source_video_id == done.video_id
    assert (await videos.until(longer.video_id, "completed")).placement.token_id == done.placement.token_id


@pytest.mark.parametrize(
    "fields",
    [{"source_sha256": b"\x00" * 32}, {"source_sha256": b"\x00" * 32, "source_video_id": "video_1"}],
    ids=["nobody's bytes", "bytes and an id"],
)
async def test_a_clip_that_was_not_made_here_is_refused_by_name(videos: Any, fields: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgument) as refused, rpc_errors("generation"):
        await videos.create(model_id="veo_3_1_extend", **fields)
    assert [violation.field for violation in refused.value.violations] == ["source_video_id"]
