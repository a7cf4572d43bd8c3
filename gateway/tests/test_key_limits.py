"""Keys that may not do everything: models that they may not use, requests per minute."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import httpx
import pytest

from flow2api_common.errors import CapacityError
from flow2api_gateway.edge.rate_limits import written_duration
from flow2api_proto.access.v1 import request_quota_pb2

IMAGE = {"model": "gemini-3.1-flash-image", "prompt": "a cat"}
VIDEO = {"model": "veo-3.1-fast", "prompt": "waves"}
CHAT = {"model": "gemini-3.1-flash-image", "messages": [{"role": "user", "content": "a cat"}]}
LIMIT, REMAINING, RESET = (f"x-ratelimit-{name}-requests" for name in ("limit", "remaining", "reset"))

REQUESTS = [
    ("/v1/images/generations", IMAGE),
    ("/v1/images/generations", IMAGE | {"stream": True}),
    ("/v1/videos", VIDEO),
    ("/v1/chat/completions", CHAT),
    ("/v1/chat/completions", CHAT | {"stream": True}),
]


class TestModels:
    async def test_list_shows_what_the_key_may_use(self, client: httpx.AsyncClient, world: Any) -> None:
        world.access.allowed_models = ["veo-*"]
        answer = (await client.get("/v1/models")).json()
        assert [model["id"] for model in answer["data"]] == ["veo-3.1-fast"]

    async def test_other_models_do_not_exist(self, client: httpx.AsyncClient, world: Any) -> None:
        world.access.allowed_models = ["veo-*"]
        hidden = await client.get("/v1/models/gemini-3.1-flash-image")
        assert (hidden.status_code, hidden.json()["error"]["code"]) == (404, "model_not_found")
        assert (await client.get("/v1/models/veo-3.1-fast")).status_code == 200

    @pytest.mark.parametrize(("path", "body"), REQUESTS)
    async def test_other_models_are_refused_before_anything_is_asked(
        self, client: httpx.AsyncClient, world: Any, path: str, body: dict[str, Any]
    ) -> None:
        world.access.allowed_models = ["text-*"]
        answer = await client.post(path, json=body)
        assert (answer.status_code, answer.json()["error"]["code"]) == (403, "model_not_allowed")
        assert not world.generation.image_requests
        assert not world.generation.video_requests


class TestRequestsPerMinute:
    @pytest.mark.parametrize(("path", "body"), REQUESTS)
    async def test_answers_say_what_is_left(
        self, client: httpx.AsyncClient, world: Any, path: str, body: dict[str, Any]
    ) -> None:
        quota = request_quota_pb2.RequestQuota(limit=60, remaining=59)
        quota.reset_duration.FromTimedelta(timedelta(seconds=59.5))
        world.generation.request_quota = quota
        answer = await client.post(path, json=body)
        assert answer.status_code == 200
        assert [answer.headers[name] for name in (LIMIT, REMAINING, RESET)] == ["60", "59", "59.5s"]

    async def test_one_answer_says_nothing_of_another(self, client: httpx.AsyncClient, world: Any) -> None:
        world.generation.request_quota = request_quota_pb2.RequestQuota(limit=60, remaining=59)
        await client.post("/v1/images/generations", json=IMAGE)
        world.generation.request_quota = None
        assert LIMIT not in (await client.post("/v1/images/generations", json=IMAGE)).headers

    @pytest.mark.parametrize(("path", "body"), REQUESTS)
    async def test_full_minute_is_429(
        self, client: httpx.AsyncClient, world: Any, path: str, body: dict[str, Any]
    ) -> None:
        world.generation.early_error = CapacityError(
            "This API key may begin 3 generations a minute.",
            reason="REQUESTS_PER_MINUTE",
            retry_after=timedelta(seconds=11.2),
            metadata={"limit_requests": "3", "remaining_requests": "0", "reset_requests_ms": "61000"},
        )
        answer = await client.post(path, json=body)
        assert (answer.status_code, answer.json()["error"]["code"]) == (429, "rate_limit_exceeded")
        assert answer.headers["retry-after"] == "12"
        assert [answer.headers[name] for name in (LIMIT, REMAINING, RESET)] == ["3", "0", "1m1s"]


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0ms"), (0.012, "12ms"), (1, "1s"), (1.5, "1.5s"), (60, "1m0s"), (360, "6m0s")]
)
def test_durations_are_written_as_openai_writes_them(seconds: float, text: str) -> None:
    assert written_duration(timedelta(seconds=seconds)) == text
