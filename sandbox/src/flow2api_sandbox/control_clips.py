"""Clips under ``/_sandbox/clips``: when each is ready, and many accepted at once without their submissions."""

import random
from datetime import timedelta
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from flow2api_sandbox.accounts import Account
from flow2api_sandbox.assets import ClipCourse, FlowAsset
from flow2api_sandbox.calls import Call
from flow2api_sandbox.errors import ApiError
from flow2api_sandbox.flow.answers import course_of
from flow2api_sandbox.flow.models import BASE_SIZE, LANDSCAPE, VIDEO_MODELS
from flow2api_sandbox.ledger import GenerationKind
from flow2api_sandbox.media.recipes import ClipRecipe
from flow2api_sandbox.settings import Duration
from flow2api_sandbox.world import World, new_id

_MODEL = VIDEO_MODELS["veo_3_1_t2v_fast"]
_MOST = 100_000


class ClipBatch(BaseModel):
    """Clips to accept for one account, as if they had been submitted: evenly over ``within`` from now on.

    Each takes ``duration``, more or less by up to its part ``spread``, at random by ``seed``. They cost nothing.
    """

    model_config = ConfigDict(extra="forbid")

    account: str
    count: int = Field(ge=1, le=_MOST)
    duration: Duration
    spread: float = Field(default=0.0, ge=0.0, lt=1.0)
    delay: Duration = timedelta(0)
    within: Duration = timedelta(0)
    seed: int = 0


async def list_clips(call: Call) -> list[dict[str, Any]]:
    """Every clip with the time at which it is, or was, ready (seconds since the epoch)."""
    return [_clip_json(each) for each in call.world.assets.values() if each.kind is GenerationKind.VIDEO]


async def accept_clips(call: Call) -> list[dict[str, Any]]:
    """Accept a batch; answers its clips."""
    batch = await call.read(ClipBatch)
    account = call.world.accounts.get(batch.account)
    if account is None:
        raise ApiError(404, "There is no such account.")
    return [_clip_json(each) for each in _accept(call.world, account, batch)]


def _accept(world: World, account: Account, batch: ClipBatch) -> list[FlowAsset]:
    project_id = next(iter(account.projects), None) or account.add_project("clips")
    chance = random.Random(batch.seed)  # noqa: S311 - it plays the upstream's moods
    start = world.clock.now() + batch.delay.total_seconds()
    clips = []
    for number in range(batch.count):
        name = new_id()
        accepted_at = start + batch.within.total_seconds() * number / batch.count
        course = ClipCourse(
            accepted_at=accepted_at,
            duration=batch.duration.total_seconds() * (1 + batch.spread * chance.uniform(-1, 1)),
            storing_delay=0.0,
            operation_name=f"op-{name}",
            scene_id=new_id(),
            price=0,
            route="flow.video_text",
        )
        clip = FlowAsset(
            name=name,
            owner=account.name,
            project_id=project_id,
            kind=GenerationKind.VIDEO,
            recipe=ClipRecipe(width=BASE_SIZE[0], height=BASE_SIZE[1], seconds=_MODEL.seconds),
            created_at=accepted_at,
            workflow_id=new_id(),
            prompt="one of many",
            model=_MODEL.key,
            aspect_ratio=LANDSCAPE,
            seed=number,
            course=course,
        )
        account.running_clips.append(clip)
        account.watch.enter(GenerationKind.VIDEO)
        clips.append(world.remember(clip))
    return clips


def _clip_json(clip: FlowAsset) -> dict[str, Any]:
    course = course_of(clip)
    return {
        "name": clip.name,
        "account": clip.owner,
        "project_id": clip.project_id,
        "workflow_id": clip.workflow_id,
        "accepted_at": course.accepted_at,
        "ready_at": course.ready_at,
    }
