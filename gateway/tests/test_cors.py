"""Pages in browsers: what they may do, by setting."""

from __future__ import annotations

from typing import Any

import pytest

ORIGIN = "https://app.example"


@pytest.mark.parametrize(
    ("origins", "origin", "is_allowed"),
    [
        ((), ORIGIN, False),
        ((ORIGIN,), ORIGIN, True),
        ((ORIGIN,), "https://app.example.evil", False),
        ((ORIGIN,), "http://app.example", False),
        (("*",), "https://anything.example", True),
    ],
)
async def test_a_page_reads_an_answer_only_when_its_origin_is_listed(
    open_client: Any, origins: tuple[str, ...], origin: str, is_allowed: bool
) -> None:
    async with open_client(cors_origins=origins) as client:
        answers = [
            await client.get("/v1/models", headers={"origin": origin}),
            await client.get("/v1/models", headers={"origin": origin, "authorization": "Bearer sk-wrong"}),
        ]
    for answer in answers:
        assert ("access-control-allow-origin" in answer.headers) == is_allowed
        assert "access-control-allow-credentials" not in answer.headers


async def test_a_page_may_send_and_read_what_the_protocol_has(open_client: Any) -> None:
    preflight = {
        "origin": ORIGIN,
        "access-control-request-method": "DELETE",
        "access-control-request-headers": "authorization,content-type,idempotency-key,x-stainless-lang",
    }
    async with open_client(cors_origins=(ORIGIN,)) as client:
        allowed = await client.options("/v1/videos/video_1", headers=preflight)
        answer = await client.get("/v1/models", headers={"origin": ORIGIN})
    assert allowed.status_code == 200
    for header in ("authorization", "idempotency-key", "x-stainless-lang"):
        assert header in allowed.headers["access-control-allow-headers"].lower()
    exposed = answer.headers["access-control-expose-headers"]
    for header in ("x-request-id", "retry-after", "x-should-retry", "x-ratelimit-remaining-requests"):
        assert header in exposed
