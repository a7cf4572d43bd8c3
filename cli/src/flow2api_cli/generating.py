"""Making an image or a video through the public API, and following it to the file."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from flow2api_cli.api_client import Api, ApiError, error_from_envelope

Progress = Callable[[str, float | None], None]
"""Told what happens, and how far along the work is as a fraction, if known."""

_LINK_PATTERN = re.compile(r"!\[[^\]]*\]\((?P<markdown>[^)\s]+)\)|src=['\"](?P<html>[^'\"]+)['\"]")
_PERCENT_PATTERN = re.compile(r"(\d{1,3})\s*%")
_FIRST_POLL_SECONDS = 0.5
_LONGEST_POLL_SECONDS = 5.0
_VIDEO_TIMEOUT_SECONDS = 3600.0
_FINAL_STATUSES = ("completed", "failed")


@dataclass(frozen=True, slots=True)
class MadeFile:
    """One finished file; ``source`` is where it came from: a link, or the id of a video."""

    content: bytes
    source: str


async def make_image(api: Api, *, model: str, prompt: str, size: str | None, progress: Progress) -> MadeFile:
    """Ask for a picture by a streamed chat completion and fetch it. Raises ApiError."""
    request: dict[str, Any] = {
        "model": model,
        "stream": True,
        "messages": [{"role": "user", "content": prompt}],
    }
    if size:
        request["size"] = size
    content = ""
    async with api.stream("/v1/chat/completions", json=request) as events:
        async for data in events:
            delta = _delta(data)
            for line in str(delta.get("reasoning_content") or "").splitlines():
                if line.strip():
                    progress(line.strip(), _percent(line))
            if delta.get("refusal"):
                raise ApiError(str(delta["refusal"]), code="content_policy_violation")
            content += str(delta.get("content") or "")
    link = _LINK_PATTERN.search(content)
    if link is None:
        raise ApiError(f"the answer has no picture: {content[:200]!r}")
    url = link["markdown"] or link["html"]
    progress("fetching the file", 1.0)
    return MadeFile(await api.download(url), url)


async def make_video(
    api: Api, *, model: str, prompt: str, size: str | None, seconds: str | None, progress: Progress
) -> MadeFile:
    """Create a video, follow it to its end and fetch it. Raises ApiError."""
    asked = {"model": model, "prompt": prompt, "size": size, "seconds": seconds}
    video = await api.call("POST", "/v1/videos", json={name: value for name, value in asked.items() if value})
    deadline = time.monotonic() + _VIDEO_TIMEOUT_SECONDS
    pause = _FIRST_POLL_SECONDS
    while video["status"] not in _FINAL_STATUSES:
        progress(str(video["status"]).replace("_", " "), float(video.get("progress") or 0) / 100)
        if time.monotonic() > deadline:
            raise ApiError(f"{video['id']} is not finished after an hour; 'flow2api jobs show' follows it")
        await asyncio.sleep(pause)
        pause = min(pause * 1.3, _LONGEST_POLL_SECONDS)
        video = await api.call("GET", f"/v1/videos/{video['id']}")
    if video["status"] == "failed":
        raise error_from_envelope(video.get("error") or {"message": "the video failed"})
    progress("fetching the file", 1.0)
    return MadeFile(await api.download(f"/v1/videos/{video['id']}/content"), str(video["id"]))


def _delta(data: str) -> dict[str, Any]:
    """The delta of a chunk; empty for the usage chunk. Raises ApiError on an error event."""
    chunk = json.loads(data)
    if "error" in chunk:
        raise error_from_envelope(chunk["error"])
    choices = chunk.get("choices") or [{}]
    return dict(choices[0].get("delta") or {})


def _percent(line: str) -> float | None:
    match = _PERCENT_PATTERN.search(line)
    return min(int(match[1]), 100) / 100 if match else None
