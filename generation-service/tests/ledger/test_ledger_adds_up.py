"""Whatever happens to videos, the ledger adds up and agrees with what the upstream has taken."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from flow2api_generation_service.ledger.amounts import Budget
from flow2api_generation_service.videos.models import JobRow
from flow2api_generation_service.videos.states import FINAL_STATES, JobState

STEPS = 120


@pytest.mark.parametrize("seed", range(5))
async def test_random_histories_add_up_at_every_step(make_world: Any, seed: int) -> None:
    world = make_world(Budget(credits=1500, micros=20_000_000))
    dice = random.Random(seed)
    story: list[str] = []
    for _ in range(STEPS):
        story.append(await live_one_step(world, dice))
        try:
            await world.check()
        except AssertionError as error:
            raise AssertionError(f"after {story[-12:]}: {error}") from error
    assert len(world.jobs) > 5


async def live_one_step(world: Any, dice: random.Random) -> str:
    """Something happens, by chance."""
    upstream = world.upstream
    what = dice.choice(["create", "job", "job", "job", "upstream", "upstream", "event", "event"])
    if what == "create":
        await world.create(dice.choice(world.models))
    elif what == "upstream" and upstream.running:
        outcome = dice.choice(["succeeds", "succeeds", "fails", "is late", "is lost"])
        world.works_on(dice.choice(upstream.running), outcome)
        what = f"upstream {outcome}"
    elif what == "event" and world.events:
        event = dice.choice(world.events)
        await world.deliver(event)
        if dice.random() < 0.7:
            world.events.remove(event)
        what = f"event {event.WhichOneof('event')}"
    elif what == "job" and world.jobs:
        job = await world.job(dice.choice(world.jobs))
        if job is not None:
            what = await _live_job(world, dice, job)
    return what


async def _live_job(world: Any, dice: random.Random, job: JobRow) -> str:
    if dice.random() < 0.1:
        await world.cancel(job)
        return "cancel"
    if dice.random() < 0.04:
        await world.delete(job)
        return "delete"
    if dice.random() < 0.04 and job.state not in FINAL_STATES:
        await world.expire(job)
        return "expire"
    crash = dice.choice(["", "", "", "", "before the mark", "before", "after"])
    world.upstream.answer = dice.choice(
        ["accepts", "accepts", "accepts", "refuses", "is cut off before", "is cut off after"]
    )
    world.upstream.on_call = None
    if dice.random() < 0.15:
        world.upstream.on_call = _cancelling(world, job.video_id)
    if job.state == JobState.QUEUED:
        await world.submit(job, crash=crash, ends_when_refused=dice.random() < 0.5)
        return f"submit {crash or world.upstream.answer}"
    if job.state == JobState.UPSCALING and job.operation_handle is None and job.submit_started_at is None:
        await world.enlarge(job, crash=crash)
        return f"enlarge {crash or world.upstream.answer}"
    if job.state == JobState.SUBMITTING or (job.state == JobState.UPSCALING and job.operation_handle is None):
        await world.recover(job, resubmit=dice.random() < 0.2)
        return "recover"
    return "nothing"


def _cancelling(world: Any, video_id: str) -> Callable[[], Awaitable[None]]:
    async def cancel() -> None:
        job = await world.job(video_id)
        if job is not None:
            await world.cancel(job)

    return cancel
