"""``Prefer: respond-async`` on images, and the jobs that it gives."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import httpx
import orjson
import pytest
from starlette.requests import Request

from flow2api_common.errors import UpstreamRejected
from flow2api_gateway.edge.preferences import Preferences, preferences_of
from flow2api_proto.generation.v1 import image_job_pb2
from flow2api_testing.waiting import eventually

BODY = {"model": "gemini-3.1-flash-image", "prompt": "a lighthouse", "response_format": "url"}
ASYNC = {"prefer": "respond-async"}


async def created(client: httpx.AsyncClient, headers: dict[str, str] | None = None, **fields: Any) -> httpx.Response:
    return await client.post("/v1/images/generations", json=BODY | fields, headers=headers or ASYNC)


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ([], Preferences()),
        (["respond-async"], Preferences(True)),
        (["Respond-Async"], Preferences(True)),
        (["respond-async, wait=10"], Preferences(True, timedelta(seconds=10))),
        (["wait=7", "respond-async"], Preferences(True, timedelta(seconds=7))),
        (['respond-async; x="a,b", wait="3"'], Preferences(True, timedelta(seconds=3))),
        (["wait=1, wait=2"], Preferences(False, timedelta(seconds=1))),
        (["wait=-1, respond-async"], Preferences(True)),
        (["wait=soon"], Preferences()),
        (["return=minimal"], Preferences()),
        (["respond-asynchronously"], Preferences()),
        (["?? respond-async"], Preferences()),
        ([", respond-async,, wait=3"], Preferences(True, timedelta(seconds=3))),
        ([";;x, respond-async"], Preferences(True)),
        (["x" * 2000], Preferences()),
        (["wait=99999999999999"], Preferences()),
    ],
)
def test_preferences_are_read_as_the_rfc_writes_them(headers: list[str], expected: Preferences) -> None:
    scope = {"type": "http", "headers": [(b"prefer", value.encode()) for value in headers]}
    assert preferences_of(Request(scope)) == expected


async def test_answer_is_a_job_and_where_to_look_for_it(client: httpx.AsyncClient, world: Any) -> None:
    answer = await created(client, n=2, output_format="webp", output_compression=80)
    assert answer.status_code == 202
    assert answer.headers["location"] == "/v1/images/generations/image_1"
    assert answer.headers["preference-applied"] == "respond-async"
    assert int(answer.headers["retry-after"]) > 0
    assert answer.json() | {"progress": 0} == {
        "id": "image_1",
        "object": "image.job",
        "status": "queued",
        "model": "gemini-3.1-flash-image",
        "n": 2,
        "progress": 0,
        "created_at": 1_767_225_600,
        "completed_at": None,
        "expires_at": None,
        "error": None,
    }
    assert (await client.get(answer.headers["location"])).json()["status"] == "queued"
    await world.generation.complete_job("image_1")
    done = await client.get(answer.headers["location"])
    assert "retry-after" not in done.headers
    job = done.json()
    assert (job["status"], job["progress"], job["created"], job["size"]) == ("completed", 100, 1_767_225_630, "64x36")
    assert job["usage"]["output_tokens"] == 1120
    picture = await client.get(job["data"][0]["url"])
    assert picture.headers["content-type"] == "image/webp"


async def test_pictures_come_as_base64_when_that_was_asked_for(client: httpx.AsyncClient, world: Any) -> None:
    await created(client, response_format="b64_json")
    await world.generation.complete_job("image_1")
    (picture,) = (await client.get("/v1/images/generations/image_1")).json()["data"]
    assert picture["b64_json"].startswith("iVBOR")


async def test_edits_give_jobs_too(client: httpx.AsyncClient, world: Any, make_picture: Callable[..., bytes]) -> None:
    form = {"model": "gemini-3.1-flash-image", "prompt": "at night"}
    files = {"image": ("a.png", make_picture(), "image/png")}
    answer = await client.post("/v1/images/edits", data=form, files=files, headers=ASYNC | {"idempotency-key": "k"})
    assert answer.status_code == 202, answer.text
    assert answer.headers["location"] == "/v1/images/generations/image_1"
    (request,) = world.generation.job_requests
    assert len(request.request.input_images) == 1
    assert (request.request.request_id, request.request.request_scope) == ("k", "POST /v1/images/edits")


async def test_other_preferences_and_streams_are_answered_as_ever(client: httpx.AsyncClient, world: Any) -> None:
    waits = await created(client, {"prefer": "wait=5"})
    streams = await created(client, stream=True)
    assert (waits.status_code, streams.status_code) == (200, 200)
    assert streams.headers["content-type"].startswith("text/event-stream")
    assert "preference-applied" not in waits.headers
    assert not world.generation.jobs


class TestWaiting:
    async def test_pictures_that_come_in_time_are_the_answer(self, client: httpx.AsyncClient, world: Any) -> None:
        world.generation.completes_jobs = True
        answer = await created(client, {"prefer": "respond-async, wait=20"})
        assert answer.status_code == 200
        assert answer.headers["preference-applied"] == "respond-async, wait=20"
        assert answer.json()["data"][0]["url"]

    async def test_after_it_the_job_is(self, client: httpx.AsyncClient) -> None:
        answer = await created(client, {"prefer": "respond-async, wait=0"})
        assert (answer.status_code, answer.json()["status"]) == (202, "queued")
        assert answer.headers["preference-applied"] == "respond-async, wait=0"

    async def test_longer_than_we_wait_is_not_promised(self, open_client: Callable[..., Any]) -> None:
        async with open_client(image_answer_timeout=timedelta(seconds=30)) as client:
            answer = await created(client, {"prefer": "respond-async, wait=31"})
            assert (answer.status_code, answer.headers["preference-applied"]) == (202, "respond-async")

    async def test_failure_that_comes_in_time_is_the_error(self, client: httpx.AsyncClient, world: Any) -> None:
        asking = asyncio.create_task(created(client, {"prefer": "respond-async, wait=20"}))
        await eventually(lambda: bool(world.generation.jobs))
        await fail(world)
        answer = await asking
        assert answer.status_code == 400
        assert answer.json()["error"]["code"] == "content_policy_violation"


async def fail(world: Any) -> None:
    error = image_job_pb2.ImageJobError(error_class="UpstreamRejected", reason="CONTENT_REJECTED", message="Refused.")
    await world.generation.change_job("image_1", state=image_job_pb2.IMAGE_JOB_STATE_FAILED, error=error)


async def test_failed_job_has_the_error_of_a_client_that_waits(client: httpx.AsyncClient, world: Any) -> None:
    await created(client)
    await fail(world)
    job = (await client.get("/v1/images/generations/image_1")).json()
    assert job["status"] == "failed"
    assert job["error"] == {
        "message": "Refused.",
        "type": "image_generation_user_error",
        "param": None,
        "code": "content_policy_violation",
    }


async def test_what_is_wrong_is_said_at_once(client: httpx.AsyncClient, world: Any) -> None:
    assert (await created(client, size="0x0")).json()["error"]["param"] == "size"
    world.generation.job_error = UpstreamRejected("no", reason="CONTENT_REJECTED")
    assert (await created(client)).status_code == 400
    assert not world.generation.jobs


async def test_repeat_with_the_same_key_gets_the_same_job(client: httpx.AsyncClient) -> None:
    first = await created(client, ASYNC | {"idempotency-key": "order"})
    again = await created(client, ASYNC | {"idempotency-key": "order"})
    assert again.json()["id"] == first.json()["id"]
    assert again.headers["idempotency-replayed"] == "true"


async def test_cancelled_and_deleted(client: httpx.AsyncClient) -> None:
    await created(client)
    cancelled = await client.post("/v1/images/generations/image_1/cancel")
    assert (cancelled.json()["status"], cancelled.json()["charge"]) == ("cancelled", "none")
    again = await client.post("/v1/images/generations/image_1/cancel")
    assert (again.status_code, again.json()["error"]["code"]) == (400, "image_job_already_final")
    deleted = await client.delete("/v1/images/generations/image_1")
    assert deleted.json() == {"id": "image_1", "object": "image.job.deleted", "deleted": True}
    gone = await client.get("/v1/images/generations/image_1")
    assert (gone.status_code, gone.json()["error"]["code"]) == (404, "image_job_not_found")


async def test_jobs_of_another_key_are_not_found(client: httpx.AsyncClient, world: Any) -> None:
    await created(client)
    world.generation.jobs["image_1"].api_key_id = "somebody-else"
    path = "/v1/images/generations/image_1"
    answers = [
        await client.get(path),
        await client.delete(path),
        await client.post(f"{path}/cancel"),
        await client.get(f"{path}/events"),
    ]
    assert {answer.status_code for answer in answers} == {404}


async def test_lists_are_paged_and_hold_no_pictures(client: httpx.AsyncClient, world: Any) -> None:
    for _ in range(3):
        await created(client)
    await world.generation.complete_job("image_3")
    page = (await client.get("/v1/images/generations", params={"limit": 2, "status": "queued, completed"})).json()
    assert [job["id"] for job in page["data"]] == ["image_3", "image_2"]
    assert (page["first_id"], page["last_id"], page["has_more"]) == ("image_3", "image_2", True)
    assert "data" not in page["data"][0]
    assert len(world.generation.job_listings[-1].states) == 2
    for wrong in ({"limit": "0"}, {"order": "up"}, {"status": "done"}):
        answer = await client.get("/v1/images/generations", params=wrong)
        assert (answer.status_code, answer.json()["error"]["param"]) == (400, next(iter(wrong)))


async def test_events_end_with_the_pictures_and_can_be_taken_up(client: httpx.AsyncClient, world: Any) -> None:
    await created(client)
    following = asyncio.create_task(client.get("/v1/images/generations/image_1/events"))
    await world.generation.complete_job("image_1")
    text = (await following).text
    *_, last = [block for block in text.split("\n\n") if block.startswith("event:")]
    event, event_id, data = last.split("\n")
    assert event == "event: image.completed"
    assert orjson.loads(data.removeprefix("data: "))["data"][0]["url"]
    taken_up = {"last-event-id": event_id.removeprefix("id: ")}
    again = await client.get("/v1/images/generations/image_1/events", headers=taken_up)
    assert again.status_code == 204
