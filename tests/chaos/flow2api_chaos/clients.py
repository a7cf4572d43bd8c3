"""The clients of a run: they ask, look again when something is away, cancel, disconnect, and repeat themselves."""

from __future__ import annotations

import asyncio
import base64
import io
import itertools
import json
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final

import httpx
from PIL import Image

from flow2api_chaos.plan import Habit, PlannedVideo

FINAL: Final = frozenset({"completed", "failed", "cancelled", "expired"})
_PAUSE_SECONDS: Final = 0.5
_CALL_TIMEOUT_SECONDS: Final = 15.0
_CREATE_PATIENCE_SECONDS: Final = 180.0
_REMIX_PATIENCE_SECONDS: Final = 90.0
_TOO_MANY: Final = 429
_CONFLICT: Final = 409
_BROKEN: Final = 500


@dataclass(slots=True)
class Story:
    """What became of one planned video, as its client saw it. ``ids`` are all that it was told on acceptance."""

    plan: PlannedVideo
    ids: set[str] = field(default_factory=set)
    refusal: str = ""
    last_status: str = ""
    is_cancelled: bool = False
    trouble: list[str] = field(default_factory=list)

    @property
    def waits_for_end(self) -> bool:
        """Whether this client stays until it sees the end."""
        return bool(self.ids) and self.plan.habit in {Habit.POLL, Habit.STREAM, Habit.REPEAT, Habit.CANCEL}


class Clients:
    """All clients. ``stories`` is complete when `run` has returned."""

    def __init__(self, gateways: Sequence[str], seed: int, *, api_key: str) -> None:
        self._headers = {"authorization": f"Bearer {api_key}"}
        self._gateways = itertools.cycle(gateways)
        self._chance = random.Random(f"clients {seed}")
        self._picture = _picture()
        self._completed: list[str] = []
        self.stories: list[Story] = []
        self.answers: Counter[str] = Counter()

    async def run(self, planned: Sequence[PlannedVideo]) -> None:
        """Let each begin at its time; returns when all have left or seen the end."""
        begin = asyncio.get_running_loop().time()
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=50)
        async with (
            httpx.AsyncClient(
                timeout=_CALL_TIMEOUT_SECONDS, headers=self._headers, limits=limits, trust_env=False
            ) as client,
            asyncio.TaskGroup() as group,
        ):
            for plan in planned:
                await asyncio.sleep(begin + plan.at_seconds - asyncio.get_running_loop().time())
                story = Story(plan)
                self.stories.append(story)
                group.create_task(self._live(client, story), name=f"client-{plan.number}")

    async def _live(self, client: httpx.AsyncClient, story: Story) -> None:
        if not await self._create(client, story):
            return
        video_id = min(story.ids)
        match story.plan.habit:
            case Habit.POLL | Habit.REPEAT:
                await self._poll(client, story, video_id)
            case Habit.STREAM:
                await self._stream(client, story, video_id)
            case Habit.CANCEL:
                await asyncio.sleep(story.plan.habit_seconds)
                await self._cancel(client, story, video_id)
                await self._poll(client, story, video_id)
            case Habit.LEAVE | Habit.HANG_UP:
                pass

    async def _create(self, client: httpx.AsyncClient, story: Story) -> bool:
        path, body = "/v1/videos", self._body(story.plan)
        if story.plan.remix_of_completed:
            source = await self._source_of_remix()
            if source is None:
                story.refusal = "nothing to remix"
                return False
            path, body = f"/v1/videos/{source}/remix", {"prompt": story.plan.prompt}
        key = {"idempotency-key": f"key of {story.plan.prompt}"}
        if story.plan.habit is Habit.HANG_UP:
            # It never learns whether it was accepted.
            with suppress(TimeoutError, httpx.HTTPError):
                async with asyncio.timeout(story.plan.habit_seconds):
                    await client.post(next(self._gateways) + path, json=body, headers=key)
            return False
        count = 3 if story.plan.habit is Habit.REPEAT else 1
        answers = await asyncio.gather(*(self._create_once(client, story, path, body, key) for _ in range(count)))
        return all(answers)

    async def _create_once(
        self,
        client: httpx.AsyncClient,
        story: Story,
        path: str,
        body: Mapping[str, Any],
        headers: Mapping[str, str],
    ) -> bool:
        """Ask until there is an answer, always with the same key."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + _CREATE_PATIENCE_SECONDS
        while loop.time() < deadline:
            answer = await self._call(client, "POST", path, json=body, headers=dict(headers))
            if answer is not None and answer.is_success:
                story.ids.add(answer.json()["id"])
                return True
            if answer is not None and answer.status_code not in {_TOO_MANY, _CONFLICT} and answer.status_code < _BROKEN:
                story.refusal = f"{answer.status_code} {answer.text[:300]}"
                return False
            await self._pause()
        story.refusal = "no answer in time"
        return False

    async def _poll(self, client: httpx.AsyncClient, story: Story, video_id: str) -> None:
        while story.last_status not in FINAL:
            await self._pause()
            answer = await self._call(client, "GET", f"/v1/videos/{video_id}")
            if answer is not None and answer.is_success:
                self._see(story, video_id, answer.json())
            elif answer is not None and answer.status_code < _BROKEN and answer.status_code != _TOO_MANY:
                story.trouble.append(f"read: {answer.status_code} {answer.text[:200]}")
                return

    async def _stream(self, client: httpx.AsyncClient, story: Story, video_id: str) -> None:
        last_id, progress = "", -1
        while story.last_status not in FINAL:
            headers = {"last-event-id": last_id} if last_id else {}
            url = f"{next(self._gateways)}/v1/videos/{video_id}/events"
            with suppress(httpx.HTTPError):
                async with client.stream("GET", url, headers=headers) as stream:
                    async for line in stream.aiter_lines():
                        name, _, value = line.partition(": ")
                        if name == "id":
                            last_id = value
                        if name != "data" or not value.startswith("{"):
                            continue
                        seen = json.loads(value)
                        if "status" not in seen:
                            continue
                        if seen.get("progress", 0) < progress:
                            story.trouble.append(f"progress went back from {progress} to {seen['progress']}")
                        progress = max(progress, seen.get("progress", 0))
                        self._see(story, video_id, seen)
            await self._pause()

    async def _cancel(self, client: httpx.AsyncClient, story: Story, video_id: str) -> None:
        while True:
            answer = await self._call(client, "POST", f"/v1/videos/{video_id}/cancel")
            if answer is not None and answer.status_code < _BROKEN and answer.status_code != _TOO_MANY:
                story.is_cancelled = answer.is_success
                return
            await self._pause()

    async def _call(self, client: httpx.AsyncClient, method: str, path: str, **options: Any) -> httpx.Response | None:
        try:
            answer = await client.request(method, next(self._gateways) + path, **options)
        except httpx.HTTPError as error:
            self.answers[type(error).__name__] += 1
            return None
        self.answers[str(answer.status_code)] += 1
        return answer

    def _see(self, story: Story, video_id: str, seen: Mapping[str, Any]) -> None:
        story.last_status = seen["status"]
        if story.last_status == "completed":
            self._completed.append(video_id)

    async def _source_of_remix(self) -> str | None:
        flow = {id_ for story in self.stories for id_ in story.ids if story.plan.kind in {"text", "first frame"}}
        deadline = asyncio.get_running_loop().time() + _REMIX_PATIENCE_SECONDS
        while asyncio.get_running_loop().time() < deadline:
            ready = [video_id for video_id in self._completed if video_id in flow]
            if ready:
                return self._chance.choice(ready)
            await self._pause()
        return None

    def _body(self, plan: PlannedVideo) -> dict[str, Any]:
        body = dict(plan.fields)
        pictures = body.pop("pictures", "")
        if pictures in {"first", "both"}:
            body["input_reference"] = {"image_url": self._picture}
        if pictures == "both":
            body["last_frame"] = {"image_url": self._picture}
        if pictures == "references":
            body["reference_images"] = [{"image_url": self._picture}, {"image_url": self._picture}]
        return body

    async def _pause(self) -> None:
        await asyncio.sleep(_PAUSE_SECONDS * self._chance.uniform(0.5, 1.5))


def _picture() -> str:
    content = io.BytesIO()
    Image.new("RGB", (320, 180), (40, 90, 160)).save(content, "PNG")
    return f"data:image/png;base64,{base64.b64encode(content.getvalue()).decode()}"
