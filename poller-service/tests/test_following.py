"""Operations followed to their end, over real NATS, the real token service and the sandbox."""

from __future__ import annotations

import asyncio
import io
from datetime import UTC, datetime, timedelta
from typing import Any

import av
import pytest
from PIL import Image

from flow2api_common.errors import DependencyUnavailable, NotFound
from flow2api_common.media_store import MediaStore
from flow2api_common.nats_streams import VIDEO_JOBS
from flow2api_poller_service.clip_store import media_id_of
from flow2api_poller_service.group_look import GroupLooks
from flow2api_poller_service.stills.studio import StillStudio
from flow2api_poller_service.stills.wire import Playability, Stills
from flow2api_proto.events.v1 import video_events_pb2
from flow2api_proto.tokens.v1 import token_service_pb2
from flow2api_sandbox.faults import Fault, FaultKind
from flow2api_testing.waiting import eventually

FAILED = video_events_pb2.VIDEO_FAILURE_KIND_FAILED
FILTERED = video_events_pb2.VIDEO_FAILURE_KIND_FILTERED
EXPIRED = video_events_pb2.VIDEO_FAILURE_KIND_EXPIRED


async def test_a_finished_clip_is_stored_and_its_lease_released(road: Any, poller: None) -> None:
    message = await road.submit()
    stored = (await road.end_of(message.video_id)).stored
    assert await road.kinds(message.video_id) == ["storing", "stored"]
    assert stored.media_id == media_id_of(message)
    assert (stored.width, stored.height, stored.content_type) == (1280, 720, "video/mp4")
    data = await road.store.get(stored.object_key, max_bytes=50_000_000)
    assert len(data) == stored.size_bytes
    with av.open(io.BytesIO(data)) as clip:
        assert clip.duration == pytest.approx(stored.duration_ms * 1000, rel=0.1)
    await eventually(lambda: _is_free(road))
    assert (await road.token()).stats.success_count == 1
    await eventually(lambda: _is_empty(road))


async def test_a_stored_clip_has_a_thumbnail_and_a_sheet_of_frames(road: Any, start_poller: Any) -> None:
    message = await road.submit()
    async with start_poller(poller_still_processes=1, poller_still_time_limit=timedelta(seconds=60)):
        stored = (await road.end_of(message.video_id, timeout=60)).stored
    for still, kind, size in (
        (stored.thumbnail, "WEBP", (640, 360)),
        (stored.spritesheet, "JPEG", (1024, 576)),
    ):
        data = await road.store.get(still.object_key, max_bytes=1_000_000)
        assert len(data) == still.size_bytes
        with Image.open(io.BytesIO(data)) as picture:
            picture.load()
            assert (picture.format, picture.size) == (kind, size)
            assert (still.width, still.height) == size
    assert len({stored.media_id, stored.thumbnail.media_id, stored.spritesheet.media_id}) == 3


async def test_a_clip_that_cannot_be_played_is_asked_for_again(
    road: Any, start_poller: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[str] = []

    async def broken_once(self: StillStudio, key: str, *, size_bytes: int) -> Stills:
        looks.append(key)
        return Stills(Playability.BROKEN if len(looks) == 1 else Playability.UNKNOWN)

    monkeypatch.setattr(StillStudio, "stills_of", broken_once)
    message = await road.submit()
    async with start_poller():
        stored = (await road.end_of(message.video_id)).stored
    assert len(looks) == 2
    assert await road.store.size(stored.object_key) == stored.size_bytes
    assert not stored.HasField("thumbnail")


async def test_a_still_that_cannot_be_stored_fails_no_clip(
    road: Any, start_poller: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(self: MediaStore, key: str, data: bytes, *, content_type: str) -> None:
        raise DependencyUnavailable("the media store is away")

    monkeypatch.setattr(MediaStore, "put", fail)
    message = await road.submit()
    async with start_poller(poller_still_processes=1, poller_still_time_limit=timedelta(seconds=60)):
        stored = (await road.end_of(message.video_id, timeout=60)).stored
    assert stored.size_bytes
    assert not stored.HasField("thumbnail")


async def test_a_clip_of_gemini_is_stored_too(road: Any, poller: None) -> None:
    await road.add_token("sandbox-key-1", "gemini")
    message = await road.submit(provider="gemini", model="gemini-omni-1.1-flash")
    event = await road.end_of(message.video_id)
    assert event.stored.size_bytes > 0
    counted = event.counted_tokens
    assert (counted.input_tokens, counted.output_tokens > 0) == (counted.input_text_tokens, True)
    assert counted.input_text_tokens > 0


async def test_a_clip_with_another_stage_keeps_its_lease_and_is_not_stored(road: Any, poller: None) -> None:
    message = await road.submit(has_next_stage=True)
    assert (await road.end_of(message.video_id)).stage_done.result_handle
    await eventually(lambda: _is_empty(road))
    assert await road.kinds(message.video_id) == ["stage_done"]
    assert (await road.token()).video_leases == 1


async def test_one_call_asks_about_many_operations(road: Any, start_poller: Any) -> None:
    messages = [await road.submit(f"waves {number}") for number in range(20)]
    async with start_poller(poller_linger=timedelta(milliseconds=300)):
        for message in messages:
            assert (await road.end_of(message.video_id, timeout=40)).WhichOneof("event") == "stored"
    assert road.sandbox.world.ledger.calls["flow.status"] <= 4


@pytest.mark.parametrize(
    ("mark", "kind", "code"),
    [
        ("fail reason=PUBLIC_ERROR_MINOR", FILTERED, "content_policy_violation"),
        ("error_status reason=PUBLIC_ERROR_SOMETHING_WENT_WRONG", FAILED, "upstream_unavailable"),
        ("missing", FAILED, "upstream_unavailable"),
    ],
)
async def test_a_failed_clip_is_told_with_its_reason(road: Any, poller: None, mark: str, kind: Any, code: str) -> None:
    message = await road.submit(f"waves [[fault:{mark}]]")
    failed = (await road.end_of(message.video_id)).failed
    assert (failed.kind, failed.code) == (kind, code)
    assert failed.message
    await eventually(lambda: _is_free(road))
    await eventually(lambda: _is_empty(road))


async def test_an_operation_that_is_missing_twice_goes_on(road: Any, poller: None) -> None:
    message = await road.submit("waves [[fault:missing answers=2]]")
    assert (await road.end_of(message.video_id)).WhichOneof("event") == "stored"


async def test_an_operation_that_never_ends_expires(road: Any, poller: None) -> None:
    message = await road.submit("waves [[fault:active]]", deadline=timedelta(seconds=2))
    failed = (await road.end_of(message.video_id)).failed
    assert (failed.kind, failed.code) == (EXPIRED, "expired")
    await eventually(lambda: _is_empty(road))


async def test_an_account_has_no_room_for_another_while_one_that_was_given_up_may_run(
    road: Any, start_poller: Any
) -> None:
    async with start_poller(poller_hold_unfinished=timedelta(hours=1)):
        message = await road.submit("waves [[fault:active]]", deadline=timedelta(seconds=1))
        await road.end_of(message.video_id)
        await eventually(lambda: _is_empty(road))
        assert (await road.token()).video_leases == 1


async def test_an_account_has_room_again_when_one_that_was_given_up_must_be_over(road: Any, start_poller: Any) -> None:
    async with start_poller(poller_hold_unfinished=timedelta(0)):
        await road.submit("waves [[fault:active]]", deadline=timedelta(seconds=1))
        await eventually(lambda: _is_empty(road))
        await eventually(lambda: _is_free(road))


async def test_a_refused_bearer_is_renewed_once(road: Any, poller: None) -> None:
    message = await road.submit()
    road.sandbox.world.expire_access_tokens()
    assert (await road.end_of(message.video_id)).WhichOneof("event") == "stored"


@pytest.mark.parametrize("kind", [FaultKind.THROTTLED, FaultKind.INTERNAL, FaultKind.MALFORMED, FaultKind.RESET])
async def test_a_status_call_that_fails_fails_no_job(road: Any, poller: None, kind: FaultKind) -> None:
    road.sandbox.world.faults.add(Fault(kind=kind, route="flow.status", times=2))
    message = await road.submit()
    assert (await road.end_of(message.video_id)).WhichOneof("event") == "stored"


async def test_a_slowed_token_slows_no_other(road: Any, poller: None) -> None:
    fault = Fault(kind=FaultKind.THROTTLED, route="flow.status", account="sandbox-st-1", retry_after=3)
    road.sandbox.world.faults.add(fault)
    slowed, other = await road.add_token("sandbox-st-1"), await road.add_token("sandbox-st-3")
    messages = [await road.submit(f"waves {number}") for number in range(6)]
    assert {message.lease.token_id for message in messages} == {slowed, other}
    waiting = []
    for message in messages:
        if message.lease.token_id == other:
            assert (await road.end_of(message.video_id)).WhichOneof("event") == "stored"
        else:
            waiting.append(message)
    for message in waiting:
        assert await road.kinds(message.video_id) == []


async def test_a_token_that_is_slowed_is_not_asked_for_its_other_operations_either(road: Any, poller: None) -> None:
    road.sandbox.world.faults.add(Fault(kind=FaultKind.THROTTLED, route="flow.status", retry_after=60))
    await road.submit("first")
    await eventually(lambda: _calls(road) == 1)
    others = [await road.submit(f"later {number}") for number in range(5)]
    # Each is put back with the note that its looks were disturbed.
    await eventually(lambda: _has_published(road, 2 * (1 + len(others))))
    assert _calls(road) == 1


async def test_how_long_an_operation_took_is_told_with_every_news_of_its_end(road: Any, poller: None) -> None:
    message = await road.submit(quantiles=[0.05, 1.0, 2.0])
    await road.end_of(message.video_id)
    storing, stored = await road.events(message.video_id)
    assert storing.observed_duration.ready_ms > storing.observed_duration.not_ready_ms
    assert stored.observed_duration.ready_ms >= storing.observed_duration.ready_ms


async def test_a_file_that_comes_late_is_waited_for(road: Any, poller: None) -> None:
    message = await road.submit("waves [[fault:media_404 answers=6]]")
    assert (await road.end_of(message.video_id)).WhichOneof("event") == "stored"


@pytest.mark.parametrize("kind", [FaultKind.TRUNCATED, FaultKind.INTERNAL, FaultKind.RESET])
async def test_a_download_that_breaks_is_repeated(road: Any, poller: None, kind: FaultKind) -> None:
    road.sandbox.world.faults.add(Fault(kind=kind, route="cdn", times=1))
    message = await road.submit()
    stored = (await road.end_of(message.video_id)).stored
    assert await road.store.size(stored.object_key) == stored.size_bytes


async def test_a_file_that_never_comes_ends_the_job_and_leaves_nothing(road: Any, poller: None) -> None:
    road.sandbox.world.faults.add(Fault(kind=FaultKind.TRUNCATED, route="cdn"))
    road.sandbox.world.faults.add(Fault(kind=FaultKind.NOT_FOUND, route="flow.media"))
    message = await road.submit()
    failed = (await road.end_of(message.video_id)).failed
    assert (failed.kind, failed.code) == (FAILED, "media_not_stored")
    with pytest.raises(NotFound):
        await road.store.size(f"media/{media_id_of(message)[-2:]}/{media_id_of(message)}.mp4")
    await eventually(lambda: _is_free(road))


async def test_a_clip_that_is_too_large_is_not_stored(road: Any, start_poller: Any) -> None:
    message = await road.submit()
    async with start_poller(video_max_bytes=2048):
        assert (await road.end_of(message.video_id)).failed.code == "media_not_stored"


async def test_a_media_store_that_is_away_is_waited_for(
    road: Any, start_poller: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    failures: list[str] = []

    async def fail(self: MediaStore, key: str, *args: Any, **kwargs: Any) -> int:
        failures.append(key)
        raise DependencyUnavailable("the media store is away")

    message = await road.submit()
    with monkeypatch.context() as patched:
        patched.setattr(MediaStore, "put_stream", fail)
        async with start_poller(poller_store_patience=timedelta(0)):
            await eventually(lambda: len(failures) >= 4)
            assert await road.kinds(message.video_id) == ["storing"]
    async with start_poller():
        assert (await road.end_of(message.video_id)).WhichOneof("event") == "stored"


@pytest.mark.parametrize("error", [DependencyUnavailable("the media store is away"), ValueError("a mistake")])
async def test_an_account_is_not_blamed_for_what_we_cannot_store(
    road: Any, poller: None, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    async def fail(self: MediaStore, *args: Any, **kwargs: Any) -> int:
        raise error

    monkeypatch.setattr(MediaStore, "put_stream", fail)
    message = await road.submit(deadline=timedelta(seconds=1))
    assert (await road.end_of(message.video_id)).failed.code == "media_not_stored"
    await eventually(lambda: _is_free(road))
    stats = (await road.token()).stats
    assert (stats.success_count, stats.error_count) == (1, 0)


async def test_an_answer_that_we_cannot_read_spoils_no_other_operation(
    road: Any, start_poller: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    spoiled = await road.submit("waves", deadline=timedelta(seconds=3))
    whole = await road.submit("hills")
    ask = GroupLooks._ask

    async def stumble(self: GroupLooks, provider: Any, token_id: int, operations: Any) -> Any:
        if spoiled.operation_handle in operations:
            raise ValueError("a mistake")
        return await ask(self, provider, token_id, operations)

    monkeypatch.setattr(GroupLooks, "_ask", stumble)
    async with start_poller():
        assert (await road.end_of(whole.video_id)).WhichOneof("event") == "stored"
        assert (await road.end_of(spoiled.video_id)).failed.code == "expired"
        await eventually(lambda: _is_empty(road))


async def test_an_operation_of_a_provider_that_is_gone_expires(road: Any, poller: None) -> None:
    message = await road.submit("waves [[fault:active]]", deadline=timedelta(seconds=-1))
    message.provider, message.video_id = "gone", "video_gone"
    await road.nats.publish("video.poll.gone", message, msg_id=message.video_id)
    assert (await road.end_of("video_gone")).failed.code == "expired"
    await eventually(lambda: _is_empty(road))


async def test_a_deleted_token_ends_its_jobs(road: Any, start_poller: Any) -> None:
    message = await road.submit()
    await road.stub.DeleteToken(token_service_pb2.DeleteTokenRequest(token_id=message.lease.token_id))
    async with start_poller():
        assert (await road.end_of(message.video_id)).failed.code == "account_removed"


async def test_leases_live_on_while_operations_run(road: Any, start_poller: Any) -> None:
    message = await road.submit(
        "waves [[fault:active]]", deadline=timedelta(seconds=8), lease_duration=timedelta(seconds=2)
    )
    over = message.lease.expire_time.ToDatetime(tzinfo=UTC)
    async with start_poller(poller_lease_margin=timedelta(seconds=1), poller_hold_unfinished=timedelta(0)):
        await eventually(lambda: datetime.now(UTC) > over and _calls(road) >= 3)
        assert (await road.token()).video_leases == 1
    await eventually(lambda: _is_free(road), timeout=5)
    assert message.lease.token_id == road.token_ids[0]


async def test_a_poller_that_stops_hands_its_work_to_the_next(road: Any, start_poller: Any) -> None:
    async with start_poller():
        messages = [await road.submit(f"waves {number} [[fault:media_404 answers=4]]") for number in range(5)]
        await eventually(lambda: _calls(road) >= 1)
    async with start_poller():
        for message in messages:
            assert (await road.end_of(message.video_id)).WhichOneof("event") == "stored"
            assert (await road.kinds(message.video_id)).count("stored") == 1


async def test_two_pollers_share_the_work_and_report_once(road: Any, start_poller: Any) -> None:
    await road.add_token()
    messages = await asyncio.gather(*(road.submit(f"waves {number}") for number in range(12)))
    async with start_poller(), start_poller():
        for message in messages:
            await road.end_of(message.video_id)
            assert await road.kinds(message.video_id) == ["storing", "stored"]
    await eventually(lambda: _is_free(road))


async def test_a_message_that_cannot_be_read_is_put_aside(road: Any, poller: None) -> None:
    await road.nats.ensure_streams()
    await road.nats.js.publish("video.poll.flow", b"\xff\xff\xff")
    await eventually(lambda: _is_empty(road))


def _calls(road: Any) -> int:
    return road.sandbox.world.ledger.calls["flow.status"]


async def _is_free(road: Any) -> bool:
    return (await road.token()).video_leases == 0


async def _is_empty(road: Any) -> bool:
    return await road.waiting_messages() == 0


async def _has_published(road: Any, count: int) -> bool:
    return (await road.nats.js.stream_info(VIDEO_JOBS)).state.last_seq >= count
