"""Following a video: events that can be taken up again, chat streams that survive a reconnect, lists, cancelling."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import httpx
import openai
import pytest

from flow2api_proto.generation.v1 import video_pb2
from flow2api_testing.waiting import eventually

CREATE = {"model": "veo-3.1-fast", "prompt": "waves"}


@dataclass
class Event:
    """One server-sent event."""

    name: str
    event_id: str
    data: dict[str, Any]


@asynccontextmanager
async def following(address: str, last_event_id: str = "") -> AsyncIterator[AsyncIterator[Event | str]]:
    """The events of the video as they come, and the comments between them."""
    headers = {"authorization": "Bearer sk-good-key-0123456789"}
    if last_event_id:
        headers["last-event-id"] = last_event_id
    async with (
        httpx.AsyncClient(base_url=address, headers=headers, timeout=20, trust_env=False) as client,
        client.stream("GET", "/v1/videos/video_1/events") as response,
    ):
        assert response.status_code == 200, await response.aread()
        yield _events(response)


async def _events(response: httpx.Response) -> AsyncIterator[Event | str]:
    fields: dict[str, str] = {}
    async for line in response.aiter_lines():
        if line.startswith(":"):
            yield "comment"
        elif line:
            name, _, value = line.partition(": ")
            fields[name] = value
        elif fields:
            yield Event(fields["event"], fields.get("id", ""), json.loads(fields["data"]))
            fields = {}


async def next_event(events: AsyncIterator[Event | str]) -> Event:
    async for event in events:
        if isinstance(event, Event):
            return event
    raise AssertionError("the stream has ended")


@pytest.fixture
async def video(sdk: openai.AsyncOpenAI) -> str:
    answer = await sdk.post("/videos", body=CREATE, cast_to=httpx.Response)
    return str(answer.json()["id"])


@pytest.mark.usefixtures("video")
class TestEvents:
    async def test_tells_each_change_and_ends_with_the_final_one(self, address: str, world: Any) -> None:
        async with following(address) as events:
            first = await next_event(events)
            assert (first.name, first.event_id, first.data["queue_position"]) == ("video.queued", "1-0", 0)
            await world.generation.change_video("video_1", state=video_pb2.VIDEO_STATE_IN_PROGRESS, progress_percent=40)
            second = await next_event(events)
            assert (second.name, second.event_id, second.data["progress"]) == ("video.in_progress", "2-40", 40)
            await world.generation.complete_video("video_1")
            last = await next_event(events)
            assert (last.name, last.event_id, last.data["status"]) == ("video.completed", "3-100-final", "completed")
            assert [event async for event in events] == []

    async def test_is_kept_alive_by_comments(self, address: str) -> None:
        async with following(address) as events:
            await next_event(events)
            assert await anext(events) == "comment"

    async def test_goes_on_after_the_last_event_seen(self, address: str, world: Any) -> None:
        await world.generation.change_video("video_1", state=video_pb2.VIDEO_STATE_IN_PROGRESS, progress_percent=40)
        async with following(address, "2-40") as events:
            assert await anext(events) == "comment"
            await world.generation.complete_video("video_1")
            assert (await next_event(events)).event_id == "3-100-final"
        (request,) = world.generation.watch_requests
        assert (request.after_version, request.after_progress_percent) == (2, 40)

    async def test_what_was_seen_is_told_to_the_service_that_comes_back(self, address: str, world: Any) -> None:
        world.generation.watch_breaks = 1
        await world.generation.change_video("video_1", state=video_pb2.VIDEO_STATE_IN_PROGRESS, progress_percent=40)
        async with following(address) as events:
            await next_event(events)
            await eventually(lambda: len(world.generation.watch_requests) == 2)
        again = world.generation.watch_requests[1]
        assert (again.after_version, again.after_progress_percent) == (2, 40)

    async def test_after_the_end_there_is_nothing_new(self, client: httpx.AsyncClient, world: Any) -> None:
        await world.generation.complete_video("video_1")
        headers = {"last-event-id": "2-100-final"}
        answer = await client.get("/v1/videos/video_1/events", headers=headers)
        assert (answer.status_code, answer.content) == (204, b"")
        assert (await client.get("/v1/videos/video_9/events", headers=headers)).status_code == 404

    @pytest.mark.parametrize("odd", ["nonsense", "1", "-", "99999999999999999999-1", "1-1-last"])
    async def test_an_id_that_is_none_of_ours_begins_anew(
        self, client: httpx.AsyncClient, world: Any, odd: str
    ) -> None:
        await world.generation.complete_video("video_1")
        answer = await client.get("/v1/videos/video_1/events", headers={"last-event-id": odd.encode()})
        assert answer.text.startswith("event: video.completed\n")

    async def test_a_video_that_outlasts_the_longest_answer_ends_it_quietly(self, open_client: Any, world: Any) -> None:
        async with open_client(video_answer_timeout=timedelta(milliseconds=300)) as client:
            answer = await client.get("/v1/videos/video_1/events")
        assert answer.status_code == 200
        assert "error" not in answer.text.replace('"error":null', "")


async def test_a_chat_stream_that_broke_goes_on_with_the_same_key(
    sdk: openai.AsyncOpenAI, world: Any, address: str
) -> None:
    body = {"model": "veo-3.1-fast", "messages": [{"role": "user", "content": "waves"}], "stream": True}
    headers = {"authorization": "Bearer sk-good-key-0123456789", "idempotency-key": "chat-1"}
    async with httpx.AsyncClient(base_url=address, headers=headers, timeout=20, trust_env=False) as client:
        async with client.stream("POST", "/v1/chat/completions", json=body) as broken:
            await anext(broken.aiter_lines())
        assert world.generation.videos["video_1"].state == video_pb2.VIDEO_STATE_QUEUED
        await world.generation.complete_video("video_1")
        whole = await client.post("/v1/chat/completions", json=body)
    assert list(world.generation.videos) == ["video_1"]
    assert "<video" in whole.text
    assert whole.text.rstrip().endswith("data: [DONE]")


async def test_cancelling_says_what_was_charged(client: httpx.AsyncClient, world: Any) -> None:
    await client.post("/v1/videos", json=CREATE)
    free = (await client.post("/v1/videos/video_1/cancel")).json()
    assert (free["charge"], "charged_credits" in free) == ("none", False)
    await client.post("/v1/videos", json=CREATE)
    await world.generation.change_video("video_2", state=video_pb2.VIDEO_STATE_IN_PROGRESS)
    paid = (await client.post("/v1/videos/video_2/cancel")).json()
    assert (paid["status"], paid["charge"], paid["charged_credits"]) == ("failed", "charged", 20)


class TestList:
    async def test_is_narrowed(self, client: httpx.AsyncClient, world: Any) -> None:
        query = {
            "status": "queued,expired",
            "model": "veo-3.1-fast, omni",
            "created_after": "1767225600",
            "created_before": "1767225700",
        }
        assert (await client.get("/v1/videos", params=query)).status_code == 200
        (listing,) = world.generation.listings
        assert list(listing.states) == [
            video_pb2.VIDEO_STATE_QUEUED,
            video_pb2.VIDEO_STATE_SUBMITTING,
            video_pb2.VIDEO_STATE_EXPIRED,
        ]
        assert list(listing.model_ids) == ["veo-3.1-fast", "omni"]
        assert (listing.create_time_from.seconds, listing.create_time_before.seconds) == (1767225600, 1767225700)

    @pytest.mark.parametrize(
        ("param", "value"), [("status", "odd"), ("created_after", "yesterday"), ("created_before", "-1")]
    )
    async def test_refuses_what_it_does_not_know(self, client: httpx.AsyncClient, param: str, value: str) -> None:
        answer = await client.get("/v1/videos", params={param: value})
        assert (answer.status_code, answer.json()["error"]["param"]) == (400, param)
