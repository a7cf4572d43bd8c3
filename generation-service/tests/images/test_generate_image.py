"""Pictures end to end: over gRPC, with the sandbox upstream, real NATS and SQL, and a pool that can be looked into."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Iterable
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from PIL import Image

from flow2api_common.grpc_server import GrpcServer
from flow2api_generation_service.settings import GenerationServiceSettings
from flow2api_proto.access.v1 import access_service_pb2_grpc
from flow2api_proto.generation.v1 import attempt_pb2, generation_service_pb2, image_pb2, ledger_pb2, media_pb2
from flow2api_proto.tokens.v1 import token_service_pb2_grpc
from flow2api_sandbox.faults import Fault
from flow2api_sandbox.server import RunningSandbox
from flow2api_testing.waiting import eventually

ST = "sandbox-st-1"
ST_2 = "sandbox-st-2"
API_KEY = "sandbox-key-1"


@pytest.fixture
def media_directory(media_url: str) -> Path:
    return Path(media_url.removeprefix("file://"))


def images_of(events: Iterable[image_pb2.GenerateImageResponse]) -> list[image_pb2.GeneratedImage]:
    return [event.image for event in events if event.WhichOneof("event") == "image"]


def stages_of(events: Iterable[image_pb2.GenerateImageResponse]) -> list[str]:
    return [
        image_pb2.ImageStage.Name(event.progress.stage).removeprefix("IMAGE_STAGE_")
        for event in events
        if event.WhichOneof("event") == "progress"
    ]


def reason_of(error: grpc.aio.AioRpcError) -> tuple[str, dict[str, str]]:
    status = rpc_status.from_call(error)
    assert status is not None
    for detail in status.details:
        info = error_details_pb2.ErrorInfo()
        if detail.Unpack(info):
            return info.reason, dict(info.metadata)
    raise AssertionError("no ErrorInfo")


def submissions(sandbox: RunningSandbox) -> int:
    return sum(counts["accepted"] for counts in sandbox.world.ledger.as_json()["submissions"].values())


async def refused(call: Any) -> grpc.aio.AioRpcError:
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await call
    return raised.value


async def all_given_back(pool: Any) -> None:
    await eventually(lambda: pool.live_leases == 0 and pool.waiting == 0)


class TestSuccess:
    async def test_on_flow(self, client: Any, pool: Any, media_directory: Path) -> None:
        await pool.add_flow(ST)
        events = await client.images(aspect_ratio="16:9")
        (image,) = images_of(events)
        assert stages_of(events) == ["QUEUED", "LEASED", "GENERATING", "STORING"]
        assert image.model_id == "gemini-3.1-flash-image"
        assert (image.media.width, image.media.height) == (1376, 768)
        with Image.open(media_directory / image.media.object_key) as stored:
            assert stored.size == (1376, 768)
        await all_given_back(pool)
        assert pool.outcome_names == ["OK"]
        assert pool.outcomes[0][1].output_count == 1

    async def test_what_it_costs_is_estimated_and_then_counted(self, client: Any, pool: Any, access: Any) -> None:
        pool.add_gemini(API_KEY)
        access.daily_budget_micro_usd = 140_000
        (image,) = images_of(await client.images(model_id="gemini-3-pro-image"))
        filter_of_key = ledger_pb2.LedgerFilter(api_key_id="key_1")
        answer = await client.stub.ListLedgerEntries(ledger_pb2.ListLedgerEntriesRequest(filter=filter_of_key))
        (entry,) = answer.entries
        # The list price, and input tokens at 2 dollars a million.
        assert entry.micros == 134_000 + 2 * image.usage.input_tokens
        usage = await client.stub.GetUsage(ledger_pb2.GetUsageRequest(filter=filter_of_key))
        (row,) = usage.rows
        assert row.reserved_micros == row.settled_micros + row.released_micros
        assert row.released_micros > 0
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await client.images(model_id="gemini-3-pro-image")
        assert reason_of(refused.value)[0] == "DAILY_BUDGET_EXHAUSTED"

    async def test_on_gemini_at_4k_without_enlargement(self, client: Any, pool: Any, media_directory: Path) -> None:
        pool.add_gemini(API_KEY)
        events = await client.images(model_id="gemini-3-pro-image", resolution="2K", aspect_ratio="1:1")
        (image,) = images_of(events)
        assert image.model_id == "gemini-3.0-pro-image"
        assert "UPSCALING" not in stages_of(events)
        assert image.media.width == image.media.height >= 2048
        assert image.usage.output_tokens > 0
        assert (media_directory / image.media.object_key).stat().st_size == image.media.size_bytes

    async def test_progress_never_goes_back(self, client: Any, pool: Any, picture: Callable[..., bytes]) -> None:
        await pool.add_flow(ST)
        events = await client.images(
            model_id="gemini-3.1-flash-image-square-2k", input_images=[media_pb2.InputImage(data=picture())]
        )
        percents = [event.progress.progress_percent for event in events if event.WhichOneof("event") == "progress"]
        assert percents == sorted(percents)
        assert stages_of(events) == ["QUEUED", "LEASED", "UPLOADING", "GENERATING", "UPSCALING", "STORING"]

    async def test_several_pictures_differ(self, client: Any, pool: Any, media_directory: Path) -> None:
        await pool.add_flow(ST)
        events = await client.images(image_count=3, seed=41)
        images = images_of(events)
        assert sorted(event.image_index for event in events if event.WhichOneof("event") == "image") == [0, 1, 2]
        assert len({image.seed for image in images}) == 3
        digests = {
            hashlib.sha256((media_directory / image.media.object_key).read_bytes()).hexdigest() for image in images
        }
        assert len(digests) == 3
        await all_given_back(pool)
        assert pool.outcome_names == ["OK"] * 3

    async def test_references_go_up_in_order(
        self, client: Any, pool: Any, sandbox: RunningSandbox, picture: Callable[..., bytes]
    ) -> None:
        await pool.add_flow(ST)
        uploads = [
            generation_service_pb2.UploadMediaRequest(
                description=generation_service_pb2.UploadDescription(api_key_id="key_1", file_name="a.gif")
            ),
            generation_service_pb2.UploadMediaRequest(chunk=picture((90, 120), "GIF")),
        ]
        uploaded = await client.stub.UploadMedia(iter(uploads))
        events = await client.images(
            input_images=[
                media_pb2.InputImage(media_id=uploaded.media.media_id),
                media_pb2.InputImage(data=picture((10, 10), color=(1, 2, 3))),
            ]
        )
        (image,) = images_of(events)
        # The ratio is that of the first reference.
        assert (image.media.width, image.media.height) == (896, 1200)

    async def test_enlarged_on_an_account_that_may(self, client: Any, pool: Any, sandbox: RunningSandbox) -> None:
        sandbox.world.account_of_session(ST).tier_name = "PAYGATE_TIER_TWO"
        await pool.add_flow(ST_2)
        await pool.add_flow(ST)
        events = await client.images(model_id="gemini-3.0-pro-image-landscape-4k")
        (image,) = images_of(events)
        assert image.media.width == 4 * 1376
        assert image.media.content_type == "image/jpeg"
        assert image.warning == ""
        assert [request.candidates[0].min_tier for request in pool.acquired] == [3]

    async def test_failed_enlargement_gives_the_smaller_picture_with_a_warning(
        self, client: Any, pool: Any, sandbox: RunningSandbox
    ) -> None:
        await pool.add_flow(ST)
        sandbox.world.faults.add(Fault(kind="500", route="flow.upsample*"))
        (image,) = images_of(await client.images(model_id="gemini-3.1-flash-image-landscape-2k"))
        assert image.media.width == 1376
        assert "2K" in image.warning
        await all_given_back(pool)
        assert pool.outcome_names == ["OK"]


class TestFailover:
    async def test_throttled_account_is_left_for_another(self, client: Any, pool: Any, sandbox: RunningSandbox) -> None:
        await pool.add_flow(ST)
        await pool.add_flow(ST_2)
        sandbox.world.faults.add(Fault(kind="429", route="flow.images", account=ST, retry_after=7))
        events = await client.images()
        assert len(images_of(events)) == 1
        assert max(event.progress.attempt for event in events) == 2
        await all_given_back(pool)
        assert [token_id for token_id, _ in pool.outcomes] == [1, 2]
        assert pool.outcome_names == ["RATE_LIMITED", "OK"]
        assert pool.outcomes[0][1].retry_delay.ToTimedelta().total_seconds() == 7

    async def test_goes_to_another_provider(self, client: Any, pool: Any, sandbox: RunningSandbox) -> None:
        await pool.add_flow(ST)
        pool.add_gemini(API_KEY)
        sandbox.world.faults.add(Fault(kind="quota_account", route="flow.images"))
        assert len(images_of(await client.images())) == 1
        await all_given_back(pool)
        assert pool.outcome_names == ["ACCOUNT_QUOTA_EXHAUSTED", "OK"]
        (entry,) = await logged(client)
        request = attempt_pb2.ListAttemptsRequest(generation_id=entry.generation_id)
        attempts = (await client.stub.ListAttempts(request)).attempts
        assert [(each.line, each.provider, each.outcome, each.next_step) for each in attempts] == [
            ("picture:0", "flow", "quota_account", "other_account"),
            ("picture:0", "gemini", "accepted", ""),
        ]

    async def test_upstream_error_is_repeated_on_the_same_account_first(
        self, client: Any, pool: Any, sandbox: RunningSandbox
    ) -> None:
        await pool.add_flow(ST)
        sandbox.world.faults.add(Fault(kind="503", route="flow.images", times=1))
        assert len(images_of(await client.images())) == 1
        await all_given_back(pool)
        assert pool.outcome_names == ["OK"]

    async def test_account_whose_upstream_names_a_long_pause_is_left_alone(
        self, client: Any, pool: Any, sandbox: RunningSandbox
    ) -> None:
        for number in (1, 2):
            await pool.add_flow(f"sandbox-st-{number}")
        sandbox.world.faults.add(Fault(kind="503", route="flow.images", times=1, retry_after=60))
        assert len(images_of(await client.images())) == 1
        await all_given_back(pool)
        assert sorted(pool.outcome_names) == ["OK", "UPSTREAM_ERROR"]
        (told,) = [outcome for _, outcome in pool.outcomes if outcome.HasField("retry_delay")]
        assert told.retry_delay.seconds == 60

    async def test_three_tries_at_most(self, client: Any, pool: Any, sandbox: RunningSandbox) -> None:
        for number in (1, 2, 3):
            await pool.add_flow(f"sandbox-st-{number}")
        sandbox.world.faults.add(Fault(kind="500", route="flow.images"))
        error = await refused(client.images())
        assert error.code() is grpc.StatusCode.UNAVAILABLE
        assert reason_of(error)[0] == "UPSTREAM_UNAVAILABLE"
        (rule,) = sandbox.world.faults.in_force()
        assert rule[2] == 3
        await all_given_back(pool)
        assert set(pool.outcome_names) == {"UPSTREAM_ERROR"}

    async def test_refused_bearer_is_refreshed_once_on_the_same_lease(
        self, client: Any, pool: Any, sandbox: RunningSandbox, picture: Callable[..., bytes]
    ) -> None:
        await pool.add_flow(ST)
        pool.accounts[1].credential.bearer = "stale"
        inputs = [media_pb2.InputImage(data=picture(color=(shade, 0, 0))) for shade in (1, 2, 3)]
        assert len(images_of(await client.images(input_images=inputs))) == 1
        await all_given_back(pool)
        assert pool.outcome_names == ["OK"]
        assert pool.accounts[1].credential.version == 2

    async def test_bearer_that_stays_refused_ends_the_account_and_not_the_request(
        self, client: Any, pool: Any, sandbox: RunningSandbox
    ) -> None:
        await pool.add_flow(ST)
        await pool.add_flow(ST_2)
        sandbox.world.faults.add(Fault(kind="401", route="flow.images", account=ST))
        assert len(images_of(await client.images())) == 1
        await all_given_back(pool)
        assert pool.outcome_names == ["AUTH_REJECTED", "OK"]

    async def test_nothing_free_in_time(self, client: Any, pool: Any, start_service: Any) -> None:
        await pool.add_flow(ST, limit=0)
        async with start_service(image_token_wait=timedelta(seconds=0.2)) as impatient:
            error = await refused(impatient.images())
        assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert reason_of(error)[0] == "NO_TOKEN_AVAILABLE"

    async def test_a_picture_without_people_goes_only_where_that_can_be_said(self, client: Any, pool: Any) -> None:
        await pool.add_flow(ST)
        pool.add_gemini(API_KEY)
        error = await refused(client.images(person_generation="dont_allow"))
        assert reason_of(error)[0] == "NO_ELIGIBLE_TOKEN"
        error = await refused(client.images(model_id="imagen-4.0-generate-preview", person_generation="dont_allow"))
        assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert len(images_of(await client.images(person_generation="allow_adult"))) == 1

    async def test_nobody_who_could_ever(self, client: Any, pool: Any) -> None:
        error = await refused(client.images(model_id="imagen-4.0-generate-preview"))
        assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert reason_of(error)[0] == "NO_ELIGIBLE_TOKEN"


class TestFinalRefusals:
    @pytest.mark.parametrize(
        ("fault", "reason", "outcome"),
        [
            ("content", "CONTENT_REJECTED", "CONTENT_REJECTED"),
            ("empty", "CONTENT_REJECTED", "CONTENT_REJECTED"),
            ("verification", "UPSTREAM_VERIFICATION_REQUIRED", "VERIFICATION_REQUIRED"),
        ],
    )
    async def test_is_not_tried_again(
        self, client: Any, pool: Any, sandbox: RunningSandbox, fault: str, reason: str, outcome: str
    ) -> None:
        await pool.add_flow(ST)
        await pool.add_flow(ST_2)
        sandbox.world.faults.add(Fault(kind=fault, route="flow.images"))
        error = await refused(client.images())
        assert error.code() is grpc.StatusCode.FAILED_PRECONDITION
        assert reason_of(error)[0] == reason
        (rule,) = sandbox.world.faults.in_force()
        assert rule[2] == 1
        await all_given_back(pool)
        assert pool.outcome_names == [outcome]

    async def test_lost_picture_is_paid_and_not_made_again(
        self, client: Any, pool: Any, sandbox: RunningSandbox
    ) -> None:
        await pool.add_flow(ST)
        sandbox.world.faults.add(Fault(kind="403", route="cdn*"))
        error = await refused(client.images())
        assert reason_of(error)[1]["paid"] == "true"
        assert submissions(sandbox) == 1
        await all_given_back(pool)

    @pytest.mark.parametrize(
        ("fields", "code", "field"),
        [
            ({"model_id": "nothing"}, grpc.StatusCode.NOT_FOUND, None),
            ({"model_id": "omni"}, grpc.StatusCode.INVALID_ARGUMENT, "model"),
            ({"prompt": " "}, grpc.StatusCode.INVALID_ARGUMENT, "prompt"),
            ({"prompt": "x" * 32_001}, grpc.StatusCode.INVALID_ARGUMENT, "prompt"),
            ({"image_count": 11}, grpc.StatusCode.INVALID_ARGUMENT, "n"),
            ({"seed": -1}, grpc.StatusCode.INVALID_ARGUMENT, "seed"),
            ({"person_generation": "everybody"}, grpc.StatusCode.INVALID_ARGUMENT, "person_generation"),
            ({"size": media_pb2.Dimensions(width=0, height=0)}, grpc.StatusCode.INVALID_ARGUMENT, "size"),
            ({"resolution": "9K"}, grpc.StatusCode.INVALID_ARGUMENT, "resolution"),
            ({"input_images": [media_pb2.InputImage(data=b"x")]}, grpc.StatusCode.INVALID_ARGUMENT, "input_images"),
            ({"input_images": [media_pb2.InputImage(media_id="gone")]}, grpc.StatusCode.NOT_FOUND, None),
        ],
    )
    async def test_wrong_request_names_its_field(
        self, client: Any, pool: Any, fields: dict[str, Any], code: grpc.StatusCode, field: str | None
    ) -> None:
        await pool.add_flow(ST)
        error = await refused(client.images(**fields))
        assert error.code() is code
        status = rpc_status.from_call(error)
        assert status is not None
        bad = error_details_pb2.BadRequest()
        named = [
            violation.field for detail in status.details if detail.Unpack(bad) for violation in bad.field_violations
        ]
        assert named == ([field] if field else [])
        assert pool.acquired == []

    async def test_some_pictures_may_fail(self, client: Any, pool: Any, sandbox: RunningSandbox) -> None:
        await pool.add_flow(ST)
        sandbox.world.faults.add(Fault(kind="content", route="flow.images", times=1))
        events = await client.images(image_count=3)
        assert len(images_of(events)) == 2
        (failure,) = [event.failure for event in events if event.WhichOneof("event") == "failure"]
        assert failure.reason == "CONTENT_REJECTED"


class TestClientThatGoesAway:
    async def test_while_waiting_gives_its_place_back(self, client: Any, pool: Any, sandbox: RunningSandbox) -> None:
        await pool.add_flow(ST, limit=0)
        call = client.start()
        await eventually(lambda: pool.waiting == 1)
        call.cancel()
        await all_given_back(pool)
        assert submissions(sandbox) == 0

    async def test_after_the_paid_call_the_picture_is_finished_and_kept(
        self, client: Any, pool: Any, sandbox: RunningSandbox
    ) -> None:
        await pool.add_flow(ST)
        sandbox.world.faults.add(Fault(kind="delay", route="flow.images", delay=1))
        call = client.start(request_id="order-1")
        async for event in call:
            if event.progress.stage == image_pb2.IMAGE_STAGE_GENERATING:
                break
        call.cancel()
        logs = await eventually(lambda: logged(client))
        assert [(log.outcome, log.operation, log.token_id) for log in logs] == [("ok", "image", 1)]
        assert len(images_of(await client.images(request_id="order-1"))) == 1
        await all_given_back(pool)
        assert pool.outcome_names == ["OK"]
        assert submissions(sandbox) == 1

    async def test_no_other_account_is_tried_for_nobody(self, client: Any, pool: Any, sandbox: RunningSandbox) -> None:
        await pool.add_flow(ST)
        await pool.add_flow(ST_2)
        sandbox.world.faults.add(Fault(kind="429", route="flow.images", delay=1))
        call = client.start()
        async for event in call:
            if event.progress.stage == image_pb2.IMAGE_STAGE_GENERATING:
                break
        call.cancel()
        await eventually(lambda: logged(client))
        await all_given_back(pool)
        assert pool.outcome_names == ["RATE_LIMITED"]

    async def test_pictures_that_still_wait_are_given_up(self, client: Any, pool: Any, sandbox: RunningSandbox) -> None:
        await pool.add_flow(ST, limit=1)
        sandbox.world.faults.add(Fault(kind="delay", route="flow.images", delay=1))
        call = client.start(image_count=3)
        async for event in call:
            if event.progress.stage == image_pb2.IMAGE_STAGE_GENERATING:
                break
        await eventually(lambda: pool.waiting == 2)
        call.cancel()
        await eventually(lambda: logged(client))
        await all_given_back(pool)
        assert submissions(sandbox) == 1


async def uploaded(client: Any, data: bytes) -> str:
    description = generation_service_pb2.UploadDescription(api_key_id="key_1", file_name="a.png")
    messages = [
        generation_service_pb2.UploadMediaRequest(description=description),
        generation_service_pb2.UploadMediaRequest(chunk=data),
    ]
    answer = await client.stub.UploadMedia(iter(messages))
    return str(answer.media.media_id)


class TestIdempotency:
    async def test_repeat_gets_the_same_picture(self, client: Any, pool: Any, sandbox: RunningSandbox) -> None:
        await pool.add_flow(ST)
        first = await client.images(request_id="order-1", image_count=2)
        again = await client.images(request_id="order-1", image_count=2)
        assert {image.media.media_id for image in images_of(again)} == {
            image.media.media_id for image in images_of(first)
        }
        assert first[0].generation_id == again[0].generation_id
        assert not any(event.replayed for event in first)
        assert again[0].replayed
        assert submissions(sandbox) == 2

    async def test_repeat_joins_the_running_generation(self, client: Any, pool: Any, sandbox: RunningSandbox) -> None:
        await pool.add_flow(ST)
        sandbox.world.faults.add(Fault(kind="delay", route="flow.images", delay=0.5))
        results = await asyncio.gather(*(client.images(request_id="order-1") for _ in range(5)))
        ids = {image.media.media_id for events in results for image in images_of(events)}
        assert len(ids) == 1
        assert submissions(sandbox) == 1
        assert sorted(events[0].replayed for events in results) == [False, True, True, True, True]

    async def test_other_replica_waits_for_the_result(
        self, client: Any, start_service: Any, pool: Any, sandbox: RunningSandbox
    ) -> None:
        await pool.add_flow(ST)
        sandbox.world.faults.add(Fault(kind="delay", route="flow.images", delay=0.5))
        async with start_service() as replica:
            results = await asyncio.gather(client.images(request_id="order-1"), replica.images(request_id="order-1"))
        ids = {image.media.media_id for events in results for image in images_of(events)}
        assert len(ids) == 1
        assert submissions(sandbox) == 1

    async def test_other_body_is_a_conflict(self, client: Any, pool: Any) -> None:
        await pool.add_flow(ST)
        await client.images(request_id="order-1")
        error = await refused(client.images(request_id="order-1", prompt="something else"))
        assert error.code() is grpc.StatusCode.ALREADY_EXISTS
        assert reason_of(error)[0] == "IDEMPOTENCY_CONFLICT"

    async def test_repeat_may_upload_its_picture_anew(
        self, client: Any, pool: Any, picture: Any, sandbox: RunningSandbox
    ) -> None:
        await pool.add_flow(ST)
        ids = set()
        for _ in range(2):
            source = media_pb2.InputImage(media_id=await uploaded(client, picture()))
            events = await client.images(request_id="order-1", input_images=[source])
            ids |= {image.media.media_id for image in images_of(events)}
        assert len(ids) == 1
        assert submissions(sandbox) == 1
        other = media_pb2.InputImage(media_id=await uploaded(client, picture(color=(1, 2, 3))))
        error = await refused(client.images(request_id="order-1", input_images=[other]))
        assert reason_of(error)[0] == "IDEMPOTENCY_CONFLICT"

    async def test_failure_is_not_kept(self, client: Any, pool: Any, sandbox: RunningSandbox) -> None:
        await pool.add_flow(ST)
        sandbox.world.faults.add(Fault(kind="content", route="flow.images", times=1))
        await refused(client.images(request_id="order-1"))
        assert len(images_of(await client.images(request_id="order-1"))) == 1


class TestService:
    async def test_lease_is_renewed_while_a_picture_takes_long(
        self, start_service: Any, pool: Any, sandbox: RunningSandbox
    ) -> None:
        await pool.add_flow(ST)
        sandbox.world.faults.add(Fault(kind="delay", route="flow.images", delay=1))
        async with start_service(
            image_lease_duration=timedelta(seconds=1), image_progress_interval=timedelta(seconds=0.1)
        ) as client:
            events = await client.images()
        assert pool.renewals
        assert stages_of(events).count("GENERATING") > 2

    async def test_stopping_lets_a_paid_picture_finish(
        self, start_service: Any, pool: Any, sandbox: RunningSandbox, generation_settings: GenerationServiceSettings
    ) -> None:
        await pool.add_flow(ST)
        sandbox.world.faults.add(Fault(kind="delay", route="flow.images", delay=1))
        async with start_service() as client:
            following = asyncio.create_task(collect(client.start(request_id="order-1")))
            await eventually(lambda: submissions(sandbox) == 1)
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
        assert pool.outcome_names == ["OK"]
        async with start_service() as again:
            assert len(images_of(await again.images(request_id="order-1"))) == 1
        assert submissions(sandbox) == 1

    async def test_stats_and_logs_tell_what_was_made(self, client: Any, pool: Any, sandbox: RunningSandbox) -> None:
        await pool.add_flow(ST)
        await client.images(image_count=2)
        sandbox.world.faults.add(Fault(kind="content", route="flow.images"))
        await refused(client.images())
        stats = await client.stub.GetGenerationStats(generation_service_pb2.GetGenerationStatsRequest())
        assert (stats.image_count, stats.image_error_count, stats.today_image_count) == (2, 1, 2)
        logs = await logged(client)
        assert [log.outcome for log in logs] == ["CONTENT_REJECTED", "ok"]

    async def test_catalog_is_listed(self, client: Any) -> None:
        answer = await client.stub.ListModels(generation_service_pb2.ListModelsRequest())
        assert len(answer.models) > 214
        one = await client.stub.GetModel(generation_service_pb2.GetModelRequest(model_id="veo_2_0_t2v_landscape"))
        assert one.model.alias_of == "veo_3_1_t2v_landscape"
        assert one.model.shutdown_date == "2026-04-17"
        error = await refused(client.stub.GetModel(generation_service_pb2.GetModelRequest(model_id="sora")))
        assert reason_of(error)[0] == "MODEL_NOT_FOUND"

    async def test_media_is_described(self, client: Any, pool: Any) -> None:
        await pool.add_flow(ST)
        (image,) = images_of(await client.images())
        answer = await client.stub.GetMedia(generation_service_pb2.GetMediaRequest(media_id=image.media.media_id))
        assert answer.media == image.media
        error = await refused(client.stub.GetMedia(generation_service_pb2.GetMediaRequest(media_id="none")))
        assert reason_of(error)[0] == "MEDIA_NOT_FOUND"

    async def test_stored_picture_is_the_reference_of_the_next(self, client: Any, pool: Any) -> None:
        await pool.add_flow(ST)
        (image,) = images_of(await client.images(aspect_ratio="9:16"))
        inputs = [media_pb2.InputImage(media_id=image.media.media_id)]
        (edited,) = images_of(await client.images(input_images=inputs))
        assert (edited.media.width, edited.media.height) == (768, 1376)
        error = await refused(client.images(input_images=inputs, api_key_id="key_2"))
        assert reason_of(error)[0] == "MEDIA_NOT_FOUND"


async def logged(client: Any) -> list[generation_service_pb2.RequestLog]:
    answer = await client.stub.ListRequestLogs(generation_service_pb2.ListRequestLogsRequest())
    return list(answer.request_logs)


async def collect(call: Any) -> list[image_pb2.GenerateImageResponse]:
    return [event async for event in call]


class TestTokenServiceThatIsAway:
    async def test_request_is_refused_as_unavailable_and_works_again_later(
        self, start_service: Any, pool: Any, access: Any, unused_tcp_port: int, service_token: Any
    ) -> None:
        await pool.add_flow(ST)
        address = f"127.0.0.1:{unused_tcp_port}"
        async with start_service(token_addr=address) as client:
            error = await refused(client.images())
            assert error.code() is grpc.StatusCode.UNAVAILABLE
            server = serving(pool, access, address, service_token)
            await server.start()
            try:
                events = await eventually(client.images, timeout=20)
                assert len(images_of(events)) == 1
            finally:
                await server.stop(timedelta(0))

    async def test_lease_is_given_back_once_it_answers_again(
        self,
        start_service: Any,
        pool: Any,
        access: Any,
        sandbox: RunningSandbox,
        unused_tcp_port: int,
        service_token: Any,
    ) -> None:
        await pool.add_flow(ST)
        sandbox.world.faults.add(Fault(kind="delay", route="flow.images", delay=0.5))
        address = f"127.0.0.1:{unused_tcp_port}"
        server = serving(pool, access, address, service_token)
        await server.start()
        async with start_service(token_addr=address) as client:
            call = client.start()
            async for event in call:
                if event.progress.stage == image_pb2.IMAGE_STAGE_GENERATING:
                    break
            await server.stop(timedelta(0))
            rest = [event async for event in call]
            assert len(images_of(rest)) == 1
            assert pool.live_leases == 1
            again = serving(pool, access, address, service_token)
            await again.start()
            await all_given_back(pool)
            assert pool.outcome_names == ["OK"]
            await again.stop(timedelta(0))


def serving(pool: Any, access: Any, address: str, service_token: Any) -> GrpcServer:
    async def ready() -> None:
        return None

    server = GrpcServer(address=address, service_token=service_token, service_names=[], readiness=ready)
    server.register(lambda grpc_server: token_service_pb2_grpc.add_TokenServiceServicer_to_server(pool, grpc_server))
    server.register(
        lambda grpc_server: access_service_pb2_grpc.add_AccessServiceServicer_to_server(access, grpc_server)
    )
    return server
