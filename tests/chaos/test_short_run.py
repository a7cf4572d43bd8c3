"""The short form of ``make chaos``: one replica of each service, some twenty-five videos, a handful of strikes."""

from __future__ import annotations

from pathlib import Path

import pytest

from flow2api_chaos.mix import make_mix
from flow2api_chaos.plan import Action, Habit, make_plan
from flow2api_chaos.report import as_json, as_text
from flow2api_chaos.run import run_chaos

SEED = 20


def test_a_seed_always_breaks_the_same_things() -> None:
    assert make_plan(SEED, videos=60, seconds=60, strikes=30) == make_plan(SEED, videos=60, seconds=60, strikes=30)
    other = make_plan(SEED + 1, videos=60, seconds=60, strikes=30)
    assert other.strikes != make_plan(SEED, videos=60, seconds=60, strikes=30).strikes


def test_a_long_run_kills_every_process_and_server_and_cuts_the_network() -> None:
    plan = make_plan(SEED, videos=300, seconds=300, strikes=60)
    killed = {strike.target for strike in plan.strikes if strike.action in {Action.KILL, Action.EMPTY}}
    services = {f"{name}-{number}" for name in ("token", "generation", "poller", "gateway") for number in (1, 2)}
    assert killed == services | {"postgres", "nats", "redis"}
    assert {Action.CUT, Action.STALL, Action.RESET, Action.SPOIL} <= {strike.action for strike in plan.strikes}
    assert len({video.mark for video in plan.videos}) == 15
    assert len({video.kind for video in plan.videos}) == 9


@pytest.mark.timeout(300)
async def test_no_video_is_lost_or_bought_twice_while_everything_is_broken(tmp_path: Path) -> None:
    plan = make_plan(SEED, videos=25, seconds=12, strikes=6, replicas=1, video_limit=4)
    outcome = await run_chaos(plan, tmp_path, settle_seconds=100)
    assert outcome.audit.is_clean, as_text(outcome)
    report = as_json(outcome)
    assert report["facts"]["jobs"] > 15
    assert len(report["injected"]) == len(plan.strikes)


def test_a_mix_is_the_same_for_its_seed_and_has_a_trouble_for_most_accounts() -> None:
    plan = make_mix(SEED, videos=200, seconds=300)
    assert plan == make_mix(SEED, videos=200, seconds=300)
    assert {account.provider for account in plan.accounts} == {"flow", "gemini", "vertex"}
    troubled = {account.name for account in plan.accounts if account.trouble}
    assert {mishap.account for mishap in plan.mishaps} == troubled
    assert not plan.strikes
    assert not {video.habit for video in plan.videos} & {Habit.CANCEL, Habit.HANG_UP}
