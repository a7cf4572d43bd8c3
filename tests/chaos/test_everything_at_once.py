"""Everything is killed at once in the middle of fifty videos: all finish, and who polls or reconnects sees it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from flow2api_chaos.accounts import usual_accounts
from flow2api_chaos.clients import Clients
from flow2api_chaos.plan import Habit, PlannedVideo
from flow2api_chaos.system import API_KEY, running_system
from flow2api_cli.media_facts import clip_facts
from flow2api_testing import systems
from flow2api_testing.programs import SandboxProgram
from flow2api_testing.waiting import eventually

VIDEO_COUNT = 50
UPSTREAM = {"fast_video_duration": "25", "storing_delay": "0.5"}
FINISH_TIMEOUT_SECONDS = 150.0

pytestmark = pytest.mark.timeout(400)


async def test_all_services_and_servers_killed_at_once(tmp_path: Path) -> None:
    async with running_system(tmp_path, replicas=1, accounts=usual_accounts(-1), **UPSTREAM) as system:

        def kill_everything() -> None:
            for part in system.parts.values():
                part.kill()
            for part in system.parts.values():
                part.start()

        await make_fifty(system.gateways[0], API_KEY, system.sandbox, kill_everything)


async def test_all_in_one_killed(tmp_path: Path) -> None:
    with systems.all_in_one_system(tmp_path, **UPSTREAM) as system:
        program = system.programs["up"]

        def kill() -> None:
            program.kill()
            program.start()

        await make_fifty(system.base_url, systems.API_KEY, system.sandbox, kill)


async def make_fifty(base_url: str, api_key: str, sandbox: SandboxProgram, kill: Callable[[], None]) -> None:
    """Ask for them, kill when the upstream works on all, and check that each was made once and seen to its end."""
    clients = Clients([base_url], seed=1, api_key=api_key)
    planned = [planned_video(number) for number in range(VIDEO_COUNT)]
    prompts = {video.prompt: 1 for video in planned}
    async with asyncio.TaskGroup() as group:
        at_work = group.create_task(clients.run(planned), name="clients")
        async with httpx.AsyncClient(
            base_url=base_url, headers={"authorization": f"Bearer {api_key}"}, timeout=30, trust_env=False
        ) as client:
            await eventually(lambda: states_are(client, {"in_progress"}), timeout=60)
            kill()
            await asyncio.wait_for(at_work, FINISH_TIMEOUT_SECONDS)
            assert {story.last_status for story in clients.stories} == {"completed"}
            assert [story.trouble for story in clients.stories if story.trouble] == []
            for story in clients.stories:
                content = await client.get(f"/v1/videos/{min(story.ids)}/content")
                assert clip_facts(content.raise_for_status().content).frame_count > 0
    assert sandbox.submissions() == prompts


def planned_video(number: int) -> PlannedVideo:
    """One whose client polls, or follows a stream that it takes up again."""
    fields = {"model": "veo-3.1-fast", "size": "1280x720", "seconds": "8", "prompt": f"one of fifty, {number}"}
    habit = Habit.STREAM if number % 2 else Habit.POLL
    return PlannedVideo(number=number, at_seconds=0, kind="text", fields=fields, habit=habit, habit_seconds=0, mark="")


async def states_are(client: httpx.AsyncClient, wanted: set[str]) -> bool:
    """Of all videos that there are, which have to be fifty."""
    videos = (await client.get("/v1/videos", params={"limit": "100"})).raise_for_status().json()["data"]
    found = {video["status"] for video in videos}
    assert len(videos) == VIDEO_COUNT
    assert found == wanted, found
    return True
