"""Four services over an object store, and a second replica of the one that tells receivers of webhooks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from flow2api_cli.media_facts import clip_facts, picture_facts
from flow2api_common.media_store import MediaStore
from flow2api_testing.large_clips import extra_memory_of_large_clips, make_clip
from flow2api_testing.postgres import TestPostgres
from flow2api_testing.programs import Program, block_until, flow2api, free_port, run_flow2api
from flow2api_testing.s3 import S3Server
from flow2api_testing.systems import API_KEY, System, distributed_system
from flow2api_testing.waiting import eventually
from flow2api_testing.webhook_receiver import Receiver, running_receiver

# By signed link, and as a file of the Gemini API. Also the smaller is more than any process may take.
CLIP_BYTES = (200_000_000, 80_000_000)
EXTRA_BYTES = 64 * 1024 * 1024
MODEL = "veo_3_1_t2v_fast_landscape"
SECRET = "whsec_" + "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3"
VIDEO_COUNT = 6

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def receiver() -> Iterator[Receiver]:
    with running_receiver() as found:
        yield found


@pytest.fixture(scope="module")
def system(
    tmp_path_factory: pytest.TempPathFactory, postgres_server: TestPostgres, s3_server: S3Server, receiver: Receiver
) -> Iterator[System]:
    settings = {
        **s3_server.variables,
        "FLOW2API_MEDIA_URL": s3_server.media_url(),
        "FLOW2API_ALLOW_PRIVATE_HOSTS": f"127.0.0.1:{receiver.port}",
        "FLOW2API_WEBHOOK_SECRET": SECRET,
        "FLOW2API_WEBHOOK_TIMEOUT": "2",
        "FLOW2API_WEBHOOK_FIRST_PAUSE": "0.5",
        "FLOW2API_WEBHOOK_LONGEST_PAUSE": "1",
    }
    directory = tmp_path_factory.mktemp("object-store")
    with distributed_system(directory, postgres_server, settings=settings, time_scale="0") as running:
        yield running


@pytest.fixture
def second_replica(system: System, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    variables = {**system.variables, "FLOW2API_GENERATION_ADDR": f"127.0.0.1:{free_port()}"}
    directory = tmp_path_factory.mktemp("second-replica")
    program = flow2api("generation-2", "serve", "generation", variables=variables, directory=directory)
    program.start()
    yield program
    program.stop()


def client_of(system: System) -> httpx.AsyncClient:
    headers = {"authorization": f"Bearer {API_KEY}", "x-goog-api-key": API_KEY}
    return httpx.AsyncClient(base_url=system.base_url, headers=headers, timeout=60, trust_env=False)


async def stored(system: System) -> set[str]:
    """The keys of all media files in the bucket."""
    store = MediaStore.open(system.variables["FLOW2API_MEDIA_URL"])
    return {file.key async for page in store.pages(page_size=100) for file in page}


@pytest.mark.usefixtures("s3")
async def test_results_are_objects_that_are_served_in_ranges_and_really_deleted(system: System) -> None:
    before = await stored(system)
    async with client_of(system) as client:
        video_id = await make_clip(client, MODEL)
        content = f"/v1/videos/{video_id}/content"
        clip = (await client.get(content)).raise_for_status().content
        assert clip_facts(clip).frame_count > 0
        part = await client.get(content, headers={"range": "bytes=1000-1999"})
        assert (part.status_code, part.content) == (206, clip[1000:2000])
        for variant in ("thumbnail", "spritesheet"):
            picture_facts((await client.get(content, params={"variant": variant})).raise_for_status().content)

        body = {"model": "gemini-3.1-flash-image-square", "prompt": "a heron", "response_format": "url"}
        body["output_format"] = "webp"
        made = (await client.post("/v1/images/generations", json=body)).raise_for_status().json()
        link = made["data"][0]["url"]
        picture = (await client.get(link)).raise_for_status().content
        assert picture_facts(picture).format == "WEBP"
        assert (await client.get(link, headers={"range": "bytes=-10"})).content == picture[-10:]
        # The clip, its two pictures, the picture as it was made, and as it was asked for.
        assert len(await stored(system) - before) == 5

        (await client.delete(f"/v1/videos/{video_id}")).raise_for_status()
        media_id = httpx.URL(link).path.rpartition("/")[2]
        (await client.delete(f"/v1beta/files/{media_id}")).raise_for_status()
        assert (await client.get(link)).status_code == 404
        assert (await client.get(content)).status_code == 404
        await eventually(lambda: nothing_more_than(system, before))


async def nothing_more_than(system: System, keys: set[str]) -> bool:
    return await stored(system) <= keys


async def test_clips_of_200_megabytes_pass_in_little_memory(system: System) -> None:
    extra = await extra_memory_of_large_clips(system, *CLIP_BYTES)
    assert {"token", "generation", "poller", "gateway"} <= extra.keys()
    assert {name: size for name, size in extra.items() if size >= EXTRA_BYTES} == {}


async def test_webhooks_arrive_though_a_replica_is_killed_between_attempts(
    system: System, second_replica: Program, receiver: Receiver
) -> None:
    replicas = (system.programs["generation"], second_replica)
    await eventually(lambda: '"service_ready"' in second_replica.log(), timeout=60)
    receiver.status = 500
    body = {"model": MODEL, "prompt": "waves", "webhook_url": receiver.url("told")}
    async with client_of(system) as client:
        answers = [await client.post("/v1/videos", json=body) for _ in range(VIDEO_COUNT)]
    videos = {str(answer.raise_for_status().json()["id"]) for answer in answers}
    await eventually(lambda: told(receiver) == videos, timeout=60)
    # Not in the middle of an attempt, which would be waited for as long as it may take.
    await eventually(lambda: set().union(*(tried(program, videos) for program in replicas)) == videos)
    killed = max(replicas, key=lambda program: len(tried(program, videos)))
    killed.kill()
    receiver.received.clear()
    receiver.status = 204
    # By the replica that is left.
    await eventually(lambda: told(receiver) == videos, timeout=60)
    killed.start()
    system.wait_until_ready()

    with system.admin() as admin:
        block_until(lambda: {row["state"] for row in deliveries(admin, videos)} == {"delivered"})
        rows = deliveries(admin, videos)
        assert {row["video_id"] for row in rows} == videos
        for row in rows:
            attempts = admin.get(f"/admin/webhooks/deliveries/{row['id']}").raise_for_status().json()["attempts"]
            assert [attempt["number"] for attempt in attempts][-1] == row["attempt_count"] >= 2
            assert {attempt["status_code"] for attempt in attempts[:-1]} == {500}
            assert attempts[-1]["status_code"] == 204

    first = rows[0]
    count = told_count(receiver, first["event_id"])
    replayed = run_flow2api("webhooks", "replay", first["id"], variables=system.variables)
    assert "pending" in replayed.stdout, replayed.stderr
    await eventually(lambda: told_count(receiver, first["event_id"]) == count + 1)


def told(receiver: Receiver) -> set[str]:
    """Ids of the videos that the receiver was told of, as the official SDK verifies it."""
    return {event.data.id for event in receiver.events("told", SECRET)}


def told_count(receiver: Receiver, event_id: str) -> int:
    return sum(headers["webhook-id"] == event_id for _, headers, _ in list(receiver.received))


def tried(program: Program, videos: set[str]) -> set[str]:
    """Those of these videos that a replica has tried to tell of."""
    lines = [line for line in program.log().splitlines() if '"webhook_attempted"' in line]
    return {video for video in videos if any(video in line for line in lines)}


def deliveries(admin: httpx.Client, videos: set[str]) -> list[dict[str, Any]]:
    """The ledger's rows about these videos, as an operator sees them."""
    rows: list[dict[str, Any]] = admin.get("/admin/webhooks/deliveries").raise_for_status().json()
    return [row for row in rows if row["video_id"] in videos]
