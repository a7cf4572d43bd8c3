"""The ledger over HTTP."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from flow2api_proto.generation.v1 import ledger_pb2


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/admin/usage"), ("GET", "/admin/ledger"), ("POST", "/admin/ledger/v/generate/resolve")],
)
async def test_the_api_key_does_not_open_the_ledger(client: httpx.AsyncClient, method: str, path: str) -> None:
    assert (await client.request(method, path)).status_code == 401


async def test_usage_is_summed_up_by_what_is_asked_for(admin: httpx.AsyncClient, world: Any) -> None:
    answer = await admin.get("/admin/usage", params={"by": "day,api_key", "token_id": "3", "from": "2026-11-01"})
    (row,) = answer.json()
    assert (row["day"], row["api_key_id"], row["settled_credits"], row["open_credits"]) == (
        "2026-11-23",
        "key_1",
        20,
        20,
    )
    assert "token_id" not in row
    (request,) = world.generation.ledger_requests
    assert (request.filter.token_id, request.filter.first_day) == (3, "2026-11-01")
    assert list(request.group_by) == [ledger_pb2.USAGE_DIMENSION_DAY, ledger_pb2.USAGE_DIMENSION_API_KEY]


@pytest.mark.parametrize(
    ("path", "param"),
    [
        ("/admin/usage?by=colour", "by"),
        ("/admin/usage?token_id=three", "token_id"),
        ("/admin/usage?from=never", "from"),
        ("/admin/ledger?state=lost", "state"),
        ("/admin/ledger?limit=0", "limit"),
    ],
)
async def test_a_wrong_question_names_what_is_wrong(admin: httpx.AsyncClient, path: str, param: str) -> None:
    answer = await admin.get(path)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, param)


async def test_entries_come_in_pages(admin: httpx.AsyncClient, world: Any) -> None:
    answer = await admin.get("/admin/ledger", params={"state": "disputed", "limit": "5"})
    (entry,) = answer.json()
    assert (entry["generation_id"], entry["state"], entry["token_id"], entry["micros"]) == (
        "video_1",
        "disputed",
        3,
        None,
    )
    assert answer.headers["x-next-page-token"] == "older"
    (request,) = world.generation.ledger_requests
    assert (list(request.states), request.page_size) == ([ledger_pb2.LEDGER_STATE_DISPUTED], 5)


async def test_a_dispute_is_decided(admin: httpx.AsyncClient, world: Any) -> None:
    answer = await admin.post("/admin/ledger/video_1/generate/resolve", json={"state": "released"})
    assert answer.json()["state"] == "released"
    (request,) = world.generation.ledger_requests
    assert (request.generation_id, request.line, request.state) == (
        "video_1",
        "generate",
        ledger_pb2.LEDGER_STATE_RELEASED,
    )


async def test_a_dispute_is_not_decided_otherwise(admin: httpx.AsyncClient) -> None:
    answer = await admin.post("/admin/ledger/video_1/generate/resolve", json={"state": "reserved"})
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "state")
