"""Each row of the table of docs/design.md, section 6, from the public API to the upstream, with the time moved.

What happens to the token, what its history says, what the client sees, and how the token comes back.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client import REGISTRY

from flow2api_sandbox.accounts import SessionState
from flow2api_sandbox.faults import Fault
from flow2api_sandbox.server import running_sandbox
from flow2api_sandbox.settings import SandboxSettings
from flow2api_testing.installation import Installation, running_installation
from flow2api_testing.pool_time import PoolTime
from flow2api_testing.waiting import eventually

FLASH, PRO = "gemini-3.1-flash-image", "gemini-3.0-pro-image"
UPSTREAM_FLASH, UPSTREAM_PRO = "NARWHAL", "GEM_PIX_2"
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)


@pytest.fixture
async def system(tmp_path: Path, redis_url: str, nats_url: str, pool_time: PoolTime) -> AsyncIterator[Installation]:
    """All services; waiting for a token ends soon, the background looks often, and access tokens live for days."""
    upstream = SandboxSettings(host="127.0.0.1", port=0, time_scale=0, access_token_lifetime=timedelta(days=30))
    async with (
        running_sandbox(upstream) as sandbox,
        running_installation(
            tmp_path / "system",
            sandbox=sandbox,
            redis_url=redis_url,
            nats_url=nats_url,
            time=pool_time,
            image_token_wait=timedelta(milliseconds=100),
            refresh_interval=timedelta(milliseconds=50),
            session_lifetime=timedelta(days=30),
        ) as running,
    ):
        yield running


@pytest.fixture
async def token_id(system: Installation) -> int:
    return await system.add_token(provider="flow", st="sandbox-st-1")


def refuse(system: Installation, kind: str, **fields: Any) -> None:
    system.sandbox.world.faults.add(Fault(kind=kind, **{"route": "flow.images", **fields}))


def recover(system: Installation) -> None:
    system.sandbox.world.faults.clear()


def error_of(answer: httpx.Response, status: int) -> str:
    assert answer.status_code == status, answer.text
    return str(answer.json()["error"]["code"])


def length(event: dict[str, Any]) -> timedelta:
    """How long a pause was when it began."""
    return datetime.fromisoformat(event["until"]) - datetime.fromisoformat(event["time"])


def disabled_count() -> float:
    """What operators are alerted on."""
    labels = {"provider": "flow", "state": "disabled"}
    return REGISTRY.get_sample_value("flow2api_token_state_changes_total", labels) or 0.0


async def new_events(system: Installation, token_id: int, known: int) -> list[dict[str, Any]]:
    return (await system.events(token_id))[known:]


async def state(system: Installation, token_id: int) -> tuple[str, str | None]:
    token = await system.token(token_id)
    return token["state"], token["state_reason"]


async def until_state(system: Installation, token_id: int, *wanted: str | None) -> None:
    async def is_there() -> bool:
        return await state(system, token_id) == wanted

    await eventually(is_there)


class TestOk:
    async def test_success_counts_and_ends_a_row_of_errors(self, system: Installation, token_id: int) -> None:
        refuse(system, "500")
        for _ in range(2):
            assert error_of(await system.generate(), 502) == "upstream_error"
        assert (await system.token(token_id))["consecutive_error_count"] == 2
        recover(system)

        assert (await system.generate()).is_success

        token = await system.token(token_id)
        assert (token["state"], token["consecutive_error_count"]) == ("active", 0)
        assert (token["success_count"], token["image_count"], token["error_count"]) == (1, 1, 2)
        assert (await system.events(token_id))[-1]["cause"] == "ok"


class TestRateLimited:
    async def test_retry_after_rests_the_model_alone_and_lifts_by_itself(
        self, system: Installation, token_id: int
    ) -> None:
        refuse(system, "429", retry_after=90, times=1)

        first = await system.generate()
        second = await system.generate()

        assert error_of(first, 429) == "rate_limit_exceeded"
        assert int(first.headers["retry-after"]) == 90
        # The upstream is left alone until then; the client is told for how long.
        assert error_of(second, 429) == "rate_limit_exceeded"
        assert 80 <= int(second.headers["retry-after"]) <= 90
        assert await state(system, token_id) == ("active", None)
        rest = (await system.events(token_id))[-1]
        assert (rest["actor"], rest["cause"], rest["upstream_model"]) == ("generation", "rate_limited", UPSTREAM_FLASH)
        assert abs(length(rest) - timedelta(seconds=90)) < timedelta(seconds=1)
        assert (await system.generate(model=PRO)).is_success

        system.advance(timedelta(seconds=91))

        assert (await system.generate()).is_success

    async def test_pauses_grow_to_twelve_hours_and_the_first_success_resets_them(
        self, system: Installation, token_id: int
    ) -> None:
        refuse(system, "429")
        pauses = []
        for _ in range(12):
            assert error_of(await system.generate(), 429) == "rate_limit_exceeded"
            rest = (await system.events(token_id))[-1]
            pauses.append(round(length(rest) / MINUTE))
            system.advance_to(rest["until"])
        assert pauses == [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 720, 720]

        recover(system)
        assert (await system.generate()).is_success
        refuse(system, "429")
        await system.generate()

        assert round(length((await system.events(token_id))[-1]) / MINUTE) == 1

    async def test_repeat_across_models_cools_the_whole_token(self, system: Installation, token_id: int) -> None:
        refuse(system, "429")
        for model in (FLASH, PRO):
            assert error_of(await system.generate(model=model), 429) == "rate_limit_exceeded"
        recover(system)

        cooling = await system.token(token_id)
        refused = await system.generate(model="imagen-4.0-generate-preview-landscape")

        assert (cooling["state"], cooling["state_reason"], cooling["is_active"]) == ("cooling", "rate_limited", False)
        assert error_of(refused, 429) == "rate_limit_exceeded"
        assert 50 <= int(refused.headers["retry-after"]) <= 60
        change = (await system.events(token_id))[-1]
        assert (change["state_before"], change["state_after"]) == ("active", "cooling")
        assert round(length(change) / MINUTE) == 1

        system.advance_to(cooling["state_until"])

        assert (await system.generate()).is_success
        assert await state(system, token_id) == ("active", None)
        causes = [(event["actor"], event["cause"]) for event in await system.events(token_id)]
        assert ("time", "pause_over") in causes


class TestAccessTokenRejected:
    async def test_it_is_refreshed_once_and_the_call_repeated(self, system: Installation, token_id: int) -> None:
        refreshes = system.sandbox.world.ledger.calls["flow.session"]
        assert system.sandbox.world.expire_access_tokens() == 1

        assert (await system.generate()).is_success

        assert system.sandbox.world.ledger.calls["flow.session"] == refreshes + 1
        assert await state(system, token_id) == ("active", None)
        assert (await system.token(token_id))["error_count"] == 0

    async def test_token_whose_fresh_bearer_is_refused_is_looked_at_and_comes_back(
        self, system: Installation, token_id: int
    ) -> None:
        known = len(await system.events(token_id))
        refuse(system, "401", times=2)

        assert error_of(await system.generate(), 502) == "upstream_error"

        await until_state(system, token_id, "active", None)
        events = await new_events(system, token_id, known)
        assert [(event["cause"], event["state_after"]) for event in events if event["state_before"]][-2:] == [
            ("auth_rejected", "suspect"),
            ("ok", "active"),
        ]
        assert (await system.generate()).is_success

    async def test_dead_session_disables_the_token_and_tells(self, system: Installation, token_id: int) -> None:
        account = system.sandbox.world.accounts["sandbox-st-1"]
        account.session_state = SessionState.SIGNED_OUT
        system.sandbox.world.expire_access_tokens()

        told = disabled_count()

        refused = await system.generate()

        assert error_of(refused, 502) == "upstream_error"
        await until_state(system, token_id, "disabled", "st_expired")
        assert disabled_count() == told + 1
        change = (await system.events(token_id))[-1]
        assert (change["actor"], change["cause"], change["state_after"]) == ("refresh", "auth", "disabled")
        assert change["until"] is None
        # Nothing but its owner brings it back.
        system.advance(48 * HOUR)
        assert error_of(await system.generate(), 503) == "no_account_available"

        account.session_state = SessionState.OK
        enabled = await system.admin.post(f"/admin/tokens/{token_id}/enable")

        assert enabled.raise_for_status().json()["state"] == "active"
        assert (await system.generate()).is_success


class TestCreditsExhausted:
    async def test_token_is_parked_until_credits_are_seen_again(self, system: Installation, token_id: int) -> None:
        system.sandbox.world.accounts["sandbox-st-1"].credits = 0
        refuse(system, "credits")

        refused = await system.generate()

        assert error_of(refused, 429) == "insufficient_quota"
        assert refused.headers["x-should-retry"] == "false"
        token = await system.token(token_id)
        assert (token["state"], token["state_reason"], token["state_until"]) == ("parked", "credits", None)
        change = (await system.events(token_id))[-1]
        assert (change["actor"], change["cause"], change["state_after"]) == (
            "generation",
            "credits_exhausted",
            "parked",
        )
        recover(system)

        # Seen, and still without: parked on.
        known = system.sandbox.world.ledger.calls["flow.credits"]
        system.advance(2 * HOUR)
        await eventually(lambda: system.sandbox.world.ledger.calls["flow.credits"] > known)
        assert await state(system, token_id) == ("parked", "credits")

        system.sandbox.world.accounts["sandbox-st-1"].credits = 500
        system.advance(2 * HOUR)
        await until_state(system, token_id, "active", None)

        assert (await system.token(token_id))["credits"] == 500
        change = (await system.events(token_id))[-1]
        assert (change["state_before"], change["state_after"], change["cause"]) == ("parked", "active", "ok")
        assert (await system.generate()).is_success


class TestUpstreamErrors:
    @pytest.mark.parametrize("kind", ["503", "reset"])
    async def test_third_error_sets_the_token_aside_and_probes_bring_it_back_after_growing_pauses(
        self, system: Installation, token_id: int, kind: str
    ) -> None:
        refuse(system, kind, route="flow.*")
        for errors in (1, 2, 3):
            assert error_of(await system.generate(), 502) == "upstream_error"
            assert (await system.token(token_id))["consecutive_error_count"] == errors
        suspect = await system.token(token_id)
        assert (suspect["state"], suspect["state_reason"]) == ("suspect", "errors")
        assert error_of(await system.generate(), 429) == "rate_limit_exceeded"

        pauses = []
        for _ in range(7):
            change = (await system.events(token_id))[-1]
            pauses.append(round(length(change) / MINUTE))
            system.advance_to(change["until"])
            await eventually(lambda until=change["until"]: self.probed_again(system, token_id, until))
        assert pauses == [1, 2, 4, 8, 16, 30, 30]

        recover(system)
        system.advance_to((await system.token(token_id))["state_until"])
        await until_state(system, token_id, "active", None)
        assert (await system.events(token_id))[-1]["actor"] == "probe"

        # One more error sends it back at once; a success ends that.
        refuse(system, "503")
        assert error_of(await system.generate(), 502) == "upstream_error"
        assert await state(system, token_id) == ("suspect", "errors")
        recover(system)
        system.advance_to((await system.token(token_id))["state_until"])
        await until_state(system, token_id, "active", None)
        assert (await system.generate()).is_success
        assert (await system.token(token_id))["consecutive_error_count"] == 0
        refuse(system, "503")
        assert error_of(await system.generate(), 502) == "upstream_error"
        assert await state(system, token_id) == ("active", None)

    async def probed_again(self, system: Installation, token_id: int, until: str) -> bool:
        return bool((await system.events(token_id))[-1]["until"] != until)

    async def test_other_tokens_serve_meanwhile(self, system: Installation, token_id: int) -> None:
        other = await system.add_token(provider="flow", st="sandbox-st-2")
        refuse(system, "503", account="sandbox-st-1")

        answers = [await system.generate() for _ in range(8)]

        assert all(answer.is_success for answer in answers)
        assert await state(system, token_id) == ("suspect", "errors")
        assert (await system.token(other))["error_count"] == 0


class TestNotTheTokensFault:
    @pytest.mark.parametrize(("kind", "code"), [("content", "content_policy_violation"), ("400", "invalid_value")])
    async def test_token_does_not_notice(self, system: Installation, token_id: int, kind: str, code: str) -> None:
        before, events = await system.token(token_id), await system.events(token_id)
        refuse(system, kind)

        for _ in range(4):
            assert error_of(await system.generate(), 400) == code

        after = await system.token(token_id)
        told = ("state", "state_reason", "state_until", "consecutive_error_count", "error_count", "success_count")
        assert {name: after[name] for name in told} == {name: before[name] for name in told}
        assert await system.events(token_id) == events
        recover(system)
        assert (await system.generate()).is_success
