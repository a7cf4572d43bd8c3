"""Whatever is killed during ten running videos, all ten complete, and none is paid for twice.

Image jobs beside them: what waits is made afterwards, and what the upstream was asked for is asked for once, whether
its answer comes or dies with the process.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import httpx
import psutil
import pytest

from flow2api_cli.media_facts import clip_facts
from flow2api_testing.postgres import TestPostgres
from flow2api_testing.systems import API_KEY, SERVICES, System, all_in_one_system, distributed_system
from flow2api_testing.waiting import eventually

VIDEO_COUNT = 10
IMAGE_JOB_COUNT = 4
IMAGE_JOBS_AT_ONCE = 2
# Long enough to be running when the kill comes.
UPSTREAM = {"fast_video_duration": "8", "image_latency": "5", "upload_latency": "0", "storing_delay": "0.5"}
SETTINGS = {
    "FLOW2API_IMAGE_JOB_CONCURRENCY": str(IMAGE_JOBS_AT_ONCE),
    "FLOW2API_IMAGE_JOB_CLAIM": "5",
    "FLOW2API_VIDEO_ACK_WAIT": "5",
}
FINISH_TIMEOUT_SECONDS = 100.0

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def distributed(tmp_path_factory: pytest.TempPathFactory, postgres_server: TestPostgres) -> Iterator[System]:
    with distributed_system(
        tmp_path_factory.mktemp("distributed"), postgres_server, settings=SETTINGS, **UPSTREAM
    ) as running:
        yield running


@pytest.fixture
def all_in_one(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    with all_in_one_system(tmp_path_factory.mktemp("all-in-one"), extra_variables=SETTINGS, **UPSTREAM) as running:
        yield running


@pytest.mark.parametrize("service", SERVICES)
async def test_killed_service_loses_no_video(distributed: System, service: str) -> None:
    async with api(distributed) as client:
        videos = await start_videos(client)
        jobs = await start_image_jobs(client)
        distributed.programs[service].kill()
        distributed.programs[service].start()
        await finish(distributed, client, videos)
        await finish_image_jobs(distributed, client, jobs, lost=IMAGE_JOBS_AT_ONCE if service == "generation" else 0)


async def test_killed_all_in_one_loses_no_video_and_leaves_no_server(all_in_one: System) -> None:
    program = all_in_one.programs["up"]
    async with api(all_in_one) as client:
        videos = await start_videos(client)
        jobs = await start_image_jobs(client)
        servers = psutil.Process(program.pid).children(recursive=True)
        assert {server.name() for server in servers} >= {"redis-server", "nats-server"}
        program.kill()
        await eventually(lambda: not any(is_alive(server) for server in servers))
        program.start()
        await finish(all_in_one, client, videos)
        await finish_image_jobs(all_in_one, client, jobs, lost=IMAGE_JOBS_AT_ONCE)


def api(system: System) -> httpx.AsyncClient:
    headers = {"authorization": f"Bearer {API_KEY}"}
    return httpx.AsyncClient(base_url=system.base_url, headers=headers, timeout=60, trust_env=False)


async def start_videos(client: httpx.AsyncClient) -> dict[str, str]:
    """Create the videos and wait until all are at work upstream; gives prompt by id."""
    videos: dict[str, str] = {}
    for _ in range(VIDEO_COUNT):
        prompt = f"waves {uuid.uuid4().hex}"
        body = {"model": "veo-3.1-fast", "prompt": prompt, "size": "1280x720", "seconds": "8"}
        answer = await client.post("/v1/videos", json=body)
        assert answer.is_success, answer.text
        videos[answer.json()["id"]] = prompt

    async def all_run() -> bool:
        return {await status(client, video_id) for video_id in videos} == {"in_progress"}

    await eventually(all_run, timeout=30)
    return videos


async def finish(system: System, client: httpx.AsyncClient, videos: dict[str, str]) -> None:
    """Wait for all videos and check that each is whole and was bought once."""

    async def all_completed() -> bool:
        statuses = {video_id: await status(client, video_id) for video_id in videos}
        assert "failed" not in statuses.values(), statuses
        return set(statuses.values()) == {"completed"}

    await eventually(all_completed, timeout=FINISH_TIMEOUT_SECONDS)
    for video_id in videos:
        content = (await client.get(f"/v1/videos/{video_id}/content")).raise_for_status().content
        assert clip_facts(content).frame_count > 0
    submissions = system.sandbox.submissions()
    assert {prompt: submissions.get(prompt) for prompt in videos.values()} == dict.fromkeys(videos.values(), 1)


async def start_image_jobs(client: httpx.AsyncClient) -> dict[str, str]:
    """Create the jobs and wait until the upstream has been asked for as many as are made at once; prompt by path."""
    jobs: dict[str, str] = {}
    for _ in range(IMAGE_JOB_COUNT):
        prompt = f"pier {uuid.uuid4().hex}"
        body = {"model": "gemini-3.1-flash-image", "prompt": prompt, "response_format": "url"}
        answer = await client.post("/v1/images/generations", json=body, headers={"prefer": "respond-async"})
        assert answer.status_code == 202, answer.text
        jobs[answer.headers["location"]] = prompt

    async def some_run() -> bool:
        statuses = [(await read_job(client, path))["status"] for path in jobs]
        return statuses.count("in_progress") == IMAGE_JOBS_AT_ONCE

    await eventually(some_run, timeout=30)
    return jobs


async def finish_image_jobs(system: System, client: httpx.AsyncClient, jobs: dict[str, str], *, lost: int) -> None:
    """Wait for all jobs: each has its picture, but for those whose answer was lost, and was asked for once."""

    async def all_ended() -> list[dict[str, Any]]:
        read = [await read_job(client, path) for path in jobs]
        assert {job["status"] for job in read} <= {"completed", "failed"}, read
        return read

    ended = await eventually(all_ended, timeout=FINISH_TIMEOUT_SECONDS)
    failed = [job["error"]["code"] for job in ended if job["status"] == "failed"]
    assert failed == ["submission_unknown"] * lost
    for job in ended:
        for made in job.get("data", []):
            (await client.get(made["url"])).raise_for_status()
    submissions = system.sandbox.submissions()
    assert {prompt: submissions.get(prompt) for prompt in jobs.values()} == dict.fromkeys(jobs.values(), 1)


async def read_job(client: httpx.AsyncClient, path: str) -> dict[str, Any]:
    answer: dict[str, Any] = (await client.get(path)).raise_for_status().json()
    return answer


async def status(client: httpx.AsyncClient, video_id: str) -> str:
    answer = await client.get(f"/v1/videos/{video_id}")
    return str(answer.raise_for_status().json()["status"])


def is_alive(process: psutil.Process) -> bool:
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
