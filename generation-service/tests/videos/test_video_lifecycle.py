"""What clients can do with a job while it lives and after."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest

from flow2api_common.errors import (
    CapacityError,
    Conflict,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    PermissionDenied,
)
from flow2api_common.grpc_client import rpc_errors
from flow2api_common.media_store import MediaStore
from flow2api_proto.access.v1 import request_quota_pb2
from flow2api_proto.generation.v1 import generation_service_pb2, media_pb2, video_pb2
from flow2api_sandbox.faults import Fault, FaultKind
from flow2api_sandbox.server import RunningSandbox
from flow2api_testing.waiting import eventually


class TestCreate:
    @pytest.mark.parametrize(
        ("field", "fields"),
        [
            ("prompt", {"prompt": " "}),
            ("model", {"model_id": ""}),
            ("metadata", {"metadata": {str(number): "x" for number in range(17)}}),
            ("webhook_url", {"webhook_url": "ftp://example.com"}),
            ("seconds", {"duration_seconds": -1}),
            ("person_generation", {"person_generation": "everybody"}),
            ("input_images", {"input_images": [media_pb2.InputImage(data=b"no picture")]}),
        ],
    )
    async def test_refuses_what_is_wrong_and_names_the_field(
        self, videos: Any, field: str, fields: dict[str, Any]
    ) -> None:
        with pytest.raises(InvalidArgument) as caught, rpc_errors("generation"):
            await videos.create(**fields)
        assert [violation.field for violation in caught.value.violations] == [field]

    async def test_refuses_an_unknown_model(self, videos: Any) -> None:
        with pytest.raises(NotFound) as caught, rpc_errors("generation"):
            await videos.create(model_id="nothing")
        assert caught.value.reason == "MODEL_NOT_FOUND"

    async def test_the_same_request_makes_one_job(self, videos: Any) -> None:
        first = await videos.create(request_id="r1", prompt="waves")
        again = await videos.create(request_id="r1", prompt="waves")
        other_key = await videos.create(request_id="r1", prompt="waves", api_key_id="key_2")
        assert again.video_id == first.video_id != other_key.video_id
        await videos.until(first.video_id, "completed")
        await videos.until(other_key.video_id, "completed")
        assert videos.submissions("waves") == 2

    async def test_each_job_is_authorized_once(self, videos: Any, access: Any) -> None:
        access.quota = request_quota_pb2.RequestQuota(limit=3, remaining=2)
        request = video_pb2.CreateVideoRequest(
            model_id="veo_3_1_t2v_fast_landscape", prompt="waves", api_key_id="key_1", request_id="r1"
        )
        first = await videos.stub.CreateVideo(request)
        again = await videos.stub.CreateVideo(request)
        (asked,) = access.asked
        assert (asked.api_key_id, asked.model_id) == ("key_1", "veo_3_1_t2v_fast_landscape")
        assert asked.generation_id == first.video.video_id
        assert first.request_quota.remaining == 2
        assert not again.HasField("request_quota")

    async def test_refused_job_is_not_accepted(self, videos: Any, access: Any) -> None:
        access.refusal = PermissionDenied("no", reason="MODEL_NOT_ALLOWED")
        with pytest.raises(PermissionDenied) as caught, rpc_errors("generation"):
            await videos.create(request_id="r1")
        assert caught.value.reason == "MODEL_NOT_ALLOWED"
        assert not (await videos.stub.ListVideos(video_pb2.ListVideosRequest())).videos

    async def test_the_same_request_may_upload_its_picture_anew(
        self, videos: Any, picture: Callable[..., bytes]
    ) -> None:
        fields = {"model_id": "veo_3_1_i2v_s_fast_fl", "request_id": "r1"}
        source = media_pb2.InputImage(data=picture())
        first = await videos.create(**fields, input_images=[source])
        description = generation_service_pb2.UploadDescription(api_key_id="key_1", file_name="a.png")
        messages = [
            generation_service_pb2.UploadMediaRequest(description=description),
            generation_service_pb2.UploadMediaRequest(chunk=source.data),
        ]
        uploaded = await videos.stub.UploadMedia(iter(messages))
        again = await videos.create(**fields, input_images=[media_pb2.InputImage(media_id=uploaded.media.media_id)])
        assert again.video_id == first.video_id
        with pytest.raises(Conflict), rpc_errors("generation"):
            await videos.create(**fields, input_images=[media_pb2.InputImage(data=picture(color=(1, 2, 3)))])

    async def test_the_same_key_for_another_request_is_a_conflict(self, videos: Any) -> None:
        await videos.create(request_id="r1", prompt="waves")
        with pytest.raises(Conflict) as caught, rpc_errors("generation"):
            await videos.create(request_id="r1", prompt="other waves")
        assert caught.value.reason == "IDEMPOTENCY_CONFLICT"

    async def test_the_pool_is_told_what_the_account_has_left(
        self, videos: Any, pool: Any, sandbox: RunningSandbox
    ) -> None:
        video = await videos.create()
        await videos.until(video.video_id, "queued", "submitting", "in_progress", "storing", "completed")
        (told,) = await eventually(lambda: list(pool.balances))
        left = sandbox.world.settings.seed_credits - sandbox.world.ledger.charged["sandbox-st-1"]
        assert (told.token_id, told.remaining_credits) == (1, left)
        assert told.HasField("age")
        assert told.HasField("call_duration")

    async def test_a_repeat_says_that_it_is_one(self, videos: Any) -> None:
        request = video_pb2.CreateVideoRequest(
            model_id="veo_3_1_t2v_fast_landscape", prompt="waves", api_key_id="key_1", request_id="r1"
        )
        assert not (await videos.stub.CreateVideo(request)).replayed
        assert (await videos.stub.CreateVideo(request)).replayed

    async def test_the_same_key_in_another_scope_is_another_request(self, videos: Any) -> None:
        first = await videos.create(request_id="r1", request_scope="POST /v1/videos")
        other = await videos.create(request_id="r1", request_scope="POST /v1/chat/completions", prompt="other")
        assert first.video_id != other.video_id

    @pytest.mark.parametrize("key", ["a" * 256, "tab\there", "schlüssel"])
    async def test_refuses_what_cannot_be_a_key(self, videos: Any, key: str) -> None:
        with pytest.raises(InvalidArgument) as caught, rpc_errors("generation"):
            await videos.create(request_id=key)
        assert caught.value.violations[0].field == "request_id"

    async def test_a_key_can_be_used_anew_after_its_time(self, start_videos: Any, pool: Any) -> None:
        await pool.add_flow("sandbox-st-1")
        async with start_videos(idempotency_retention=timedelta(milliseconds=1)) as videos:
            first = await videos.create(request_id="r1")
            again = await videos.create(request_id="r1", prompt="other waves")
        assert first.video_id != again.video_id

    async def test_two_replicas_make_one_job_of_one_request(self, start_videos: Any, pool: Any) -> None:
        await pool.add_flow("sandbox-st-1")
        async with start_videos() as one, start_videos(poller=False) as other:
            made = await asyncio.gather(
                *(replica.create(request_id="r1", prompt="rain") for replica in (one, other) for _ in range(4))
            )
            assert len({video.video_id for video in made}) == 1
            await one.until(made[0].video_id, "queued", "submitting", "in_progress", "storing", "completed")
            assert len((await one.stub.ListVideos(video_pb2.ListVideosRequest())).videos) == 1

    async def test_what_the_day_does_not_hold_is_refused_and_leaves_nothing(self, videos: Any, access: Any) -> None:
        access.daily_credit_budget = 30
        first = await videos.create(request_id="r1")
        with pytest.raises(CapacityError) as caught, rpc_errors("generation"):
            await videos.create(request_id="r2")
        assert caught.value.reason == "DAILY_BUDGET_EXHAUSTED"
        assert caught.value.retry_after is not None
        # The answer of the first was lost: its repeat is not refused.
        assert (await videos.create(request_id="r1")).video_id == first.video_id
        listed = (await videos.stub.ListVideos(video_pb2.ListVideosRequest())).videos
        assert [video.video_id for video in listed] == [first.video_id]

    async def test_a_job_expires_at_the_deadline_of_its_client(self, start_videos: Any, pool: Any) -> None:
        await pool.add_flow("sandbox-st-1", limit=0)
        async with start_videos(poller=False) as videos:
            request = {"deadline_time": datetime.now(UTC) + timedelta(seconds=2)}
            video = await videos.create(**request)
            expired = await videos.until(video.video_id, "expired")
            assert expired.error.code == "expired"


class TestInputImages:
    async def test_a_first_frame_goes_up_and_into_the_clip(self, videos: Any, picture: Callable[..., bytes]) -> None:
        image = media_pb2.InputImage(data=picture())
        video = await videos.create(model_id="veo_3_1_i2v_s_fast_fl", prompt="the boat leaves", input_images=[image])
        await videos.until(video.video_id, "completed")
        assert videos.submissions("the boat leaves") == 1

    async def test_two_frames_are_taken_by_their_roles(self, videos: Any, picture: Callable[..., bytes]) -> None:
        images = [
            media_pb2.InputImage(data=picture(color=(9, 9, 9)), role=media_pb2.INPUT_IMAGE_ROLE_LAST_FRAME),
            media_pb2.InputImage(data=picture(), role=media_pb2.INPUT_IMAGE_ROLE_FIRST_FRAME),
        ]
        video = await videos.create(model_id="veo_3_1_i2v_s_fast_fl", prompt="both", input_images=images)
        await videos.until(video.video_id, "completed")


class TestWatch:
    async def test_tells_every_change_until_the_end(self, videos: Any) -> None:
        video = await videos.create()
        seen = [each.video async for each in videos.watch(video.video_id)]
        assert seen[-1].state == video_pb2.VIDEO_STATE_COMPLETED
        assert [each.version for each in seen] == sorted(each.version for each in seen)
        progress = [each.progress_percent for each in seen]
        assert progress == sorted(progress)

    async def test_resumes_after_what_was_seen(self, videos: Any) -> None:
        video = await videos.create()
        done = await videos.until(video.video_id, "completed")
        seen = [each.video async for each in videos.watch(video.video_id, after_version=done.version)]
        assert [each.version for each in seen] == [done.version]

    async def test_another_keys_job_is_not_there(self, videos: Any) -> None:
        video = await videos.create()
        with pytest.raises(NotFound), rpc_errors("generation"):
            async for _ in videos.watch(video.video_id, api_key_id="key_2"):
                pass


class TestCancel:
    async def test_before_submission_nothing_is_charged(self, start_videos: Any, pool: Any) -> None:
        await pool.add_flow("sandbox-st-1", limit=0)
        async with start_videos() as videos:
            video = await videos.create(prompt="waves")
            answer = await videos.stub.CancelVideo(video_pb2.CancelVideoRequest(video_id=video.video_id))
            assert answer.video.state == video_pb2.VIDEO_STATE_CANCELLED
            assert answer.video.error.code == "cancelled"
            pool.accounts[1].limit = 1
            other = await videos.create(prompt="other")
            await videos.until(other.video_id, "completed")
            assert videos.submissions("waves") == 0

    async def test_after_submission_the_late_file_is_removed_and_the_lease_ends(
        self, videos: Any, pool: Any, media_url: str
    ) -> None:
        fault_id = videos.sandbox.world.faults.add(Fault(kind=FaultKind.INTERNAL, route="flow.status"))
        video = await videos.create()
        await videos.until(video.video_id, "in_progress")
        await videos.stub.CancelVideo(video_pb2.CancelVideoRequest(video_id=video.video_id))
        assert pool.live_leases == 1
        videos.sandbox.world.faults.remove(fault_id)
        await eventually(lambda: pool.outcome_names == ["OK"])
        directory = media_url.removeprefix("file://")
        await eventually(lambda: not _files(directory))
        assert (await videos.get(video.video_id)).state == video_pb2.VIDEO_STATE_CANCELLED

    async def test_a_final_job_cannot_be_cancelled(self, videos: Any) -> None:
        video = await videos.create()
        await videos.until(video.video_id, "completed")
        with pytest.raises(FailedPrecondition) as caught, rpc_errors("generation"):
            await videos.stub.CancelVideo(video_pb2.CancelVideoRequest(video_id=video.video_id))
        assert caught.value.reason == "VIDEO_ALREADY_FINAL"


class TestDelete:
    async def test_takes_the_file_with_it(self, videos: Any, media_url: str) -> None:
        video = await videos.create()
        done = await videos.until(video.video_id, "completed")
        await videos.stub.DeleteVideo(video_pb2.DeleteVideoRequest(video_id=video.video_id))
        with pytest.raises(NotFound), rpc_errors("generation"):
            await videos.get(video.video_id)
        with pytest.raises(NotFound):
            await MediaStore.open(media_url).size(done.media.object_key)

    async def test_of_a_running_job_leaves_no_file(self, videos: Any, pool: Any, media_url: str) -> None:
        video = await videos.create()
        await videos.until(video.video_id, "in_progress", "storing", "completed")
        await videos.stub.DeleteVideo(video_pb2.DeleteVideoRequest(video_id=video.video_id))
        await eventually(lambda: pool.outcome_names == ["OK"])
        await eventually(lambda: not _files(media_url.removeprefix("file://")))


class TestList:
    async def test_pages_over_the_jobs_of_a_key(self, videos: Any) -> None:
        ids = [(await videos.create()).video_id for _ in range(3)]
        await videos.create(api_key_id="key_2")
        first = await videos.stub.ListVideos(video_pb2.ListVideosRequest(api_key_id="key_1", page_size=2))
        assert [each.video_id for each in first.videos] == [ids[2], ids[1]]
        rest = await videos.stub.ListVideos(
            video_pb2.ListVideosRequest(api_key_id="key_1", page_size=2, page_token=first.next_page_token)
        )
        assert [each.video_id for each in rest.videos] == [ids[0]]
        assert rest.next_page_token == ""
        after = await videos.stub.ListVideos(
            video_pb2.ListVideosRequest(
                api_key_id="key_1", after_video_id=ids[0], order=video_pb2.VIDEO_ORDER_OLDEST_FIRST
            )
        )
        assert [each.video_id for each in after.videos] == [ids[1], ids[2]]

    async def test_knows_no_strange_cursor(self, videos: Any) -> None:
        video = await videos.create(api_key_id="key_2")
        request = video_pb2.ListVideosRequest(api_key_id="key_1", after_video_id=video.video_id)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await videos.stub.ListVideos(request)
        assert caught.value.code() is grpc.StatusCode.NOT_FOUND

    async def test_filters_by_state_and_tells_places_in_the_queue(self, start_videos: Any, pool: Any) -> None:
        await pool.add_flow("sandbox-st-1", limit=0)
        async with start_videos() as videos:
            ids = [(await videos.create()).video_id for _ in range(3)]
            request = video_pb2.ListVideosRequest(
                states=[video_pb2.VIDEO_STATE_QUEUED], order=video_pb2.VIDEO_ORDER_OLDEST_FIRST
            )
            answer = await videos.stub.ListVideos(request)
            assert [(each.video_id, each.queue_position) for each in answer.videos] == list(
                zip(ids, (0, 1, 2), strict=True)
            )
            request = video_pb2.ListVideosRequest(states=[video_pb2.VIDEO_STATE_COMPLETED])
            assert not (await videos.stub.ListVideos(request)).videos


def _files(directory: str) -> list[str]:
    return [str(path) for path in Path(directory).rglob("*.mp4")]
