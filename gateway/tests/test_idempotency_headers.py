"""``Idempotency-Key`` on its way in, and what says on the way out that an answer is a repeat."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from typing import Any

import httpx
import pytest

from flow2api_common.errors import CapacityError, Conflict

KEY = {"idempotency-key": "order-66"}
VIDEO = {"model": "veo-3.1-fast", "prompt": "waves"}
IMAGE = {"model": "gemini-3.1-flash-image", "prompt": "a lighthouse"}
CHAT = {"model": "gemini-3.1-flash-image", "messages": [{"role": "user", "content": "a lighthouse"}]}
POSTS = [
    ("/v1/videos", VIDEO),
    ("/v1/images/generations", IMAGE),
    ("/v1/images/generations", IMAGE | {"stream": True}),
    ("/v1/chat/completions", CHAT),
    ("/v1/chat/completions", CHAT | {"stream": True}),
]


@pytest.fixture
async def client(open_client: Callable[..., Any]) -> AsyncIterator[httpx.AsyncClient]:
    """A gateway that waits for the first news of a stream as long as a real one: the heartbeat of the other tests is so
    short that, on a busy machine, an answer begins before it."""
    async with open_client(heartbeat_interval=timedelta(seconds=12)) as opened:
        yield opened


@pytest.mark.parametrize(("path", "body"), POSTS)
@pytest.mark.parametrize("replays", [True, False])
async def test_a_repeat_is_marked(
    client: httpx.AsyncClient, world: Any, path: str, body: dict[str, Any], replays: bool
) -> None:
    world.generation.replays = replays
    answer = await client.post(path, json=body, headers=KEY)
    assert answer.status_code == 200, answer.text
    assert answer.headers.get("idempotency-replayed") == ("true" if replays else None)


@pytest.mark.parametrize(("path", "body"), POSTS)
async def test_the_key_counts_for_one_operation(
    client: httpx.AsyncClient, world: Any, path: str, body: dict[str, Any]
) -> None:
    await client.post(path, json=body, headers=KEY)
    requests = world.generation.video_requests + world.generation.image_requests
    assert [(each.request_id, each.request_scope) for each in requests] == [("order-66", f"POST {path}")]


@pytest.mark.parametrize("key", [b"k" * 256, "schl\u00fcssel".encode(), b"a\tb"])
async def test_what_cannot_be_a_key_is_refused(client: httpx.AsyncClient, key: bytes) -> None:
    answer = await client.post("/v1/videos", json=VIDEO, headers={"idempotency-key": key})
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "Idempotency-Key")


async def test_a_key_of_another_body_is_a_conflict_that_no_sdk_repeats(client: httpx.AsyncClient, world: Any) -> None:
    world.generation.early_error = Conflict("used before", reason="IDEMPOTENCY_CONFLICT")
    answer = await client.post("/v1/videos", json=VIDEO, headers=KEY)
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "idempotency_conflict")
    assert answer.headers["x-should-retry"] == "false"


async def test_a_spent_day_is_insufficient_quota_until_midnight(client: httpx.AsyncClient, world: Any) -> None:
    world.generation.early_error = CapacityError(
        "spent", reason="DAILY_BUDGET_EXHAUSTED", retry_after=timedelta(hours=3)
    )
    answer = await client.post("/v1/videos", json=VIDEO)
    assert (answer.status_code, answer.json()["error"]["type"]) == (429, "insufficient_quota")
    assert (answer.headers["retry-after"], answer.headers["x-should-retry"]) == ("10800", "false")
