"""Clips of any size through a whole system, and how much memory they took on their way."""

from __future__ import annotations

import asyncio
import hashlib
from typing import Final

import httpx

from flow2api_cli.media_facts import clip_facts
from flow2api_testing.peak_memory import PeakMemory
from flow2api_testing.systems import API_KEY, System
from flow2api_testing.waiting import eventually

MODELS: Final = ("veo_3_1_t2v_fast_landscape", "gemini-omni-1.1-flash")
"""One whose clips are behind signed links, and one whose clips are files of an API."""
BLOCK_BYTES: Final = 1024 * 1024
_PARTS: Final = 9


async def extra_memory_of_large_clips(system: System, *clip_bytes: int) -> dict[str, int]:
    """Make a clip per model, of these sizes, fetch each whole and in parallel ranges, and look at it and its thumbnail.

    Gives the bytes that each process, and each of its children, had at most beside what it had before. What any clip
    needs, each has before.
    """
    headers = {"authorization": f"Bearer {API_KEY}"}
    async with httpx.AsyncClient(base_url=system.base_url, headers=headers, timeout=120, trust_env=False) as client:
        for model in MODELS:
            await _blocks(client, await make_clip(client, model), parts=1)
        programs = {name: program.pid for name, program in system.programs.items()}
        memory = PeakMemory({**programs, "sandbox": system.sandbox.pid})
        try:
            for model, size_bytes in zip(MODELS, clip_bytes, strict=True):
                system.sandbox.pad_clips(size_bytes)
                video_id = await make_clip(client, model)
                whole, by_parts = await asyncio.gather(
                    _blocks(client, video_id, parts=1), _blocks(client, video_id, parts=_PARTS)
                )
                assert len(whole) == -(-size_bytes // BLOCK_BYTES)
                assert by_parts == whole
                await _look_at(client, video_id)
        finally:
            system.sandbox.pad_clips(0)
        return memory.extra_bytes()


async def make_clip(client: httpx.AsyncClient, model: str) -> str:
    """Make a clip with that model; gives the id of its job when it is completed."""
    answer = await client.post("/v1/videos", json={"model": model, "prompt": "waves"})
    assert answer.is_success, answer.text
    video_id = str(answer.json()["id"])

    async def is_over() -> bool:
        video = (await client.get(f"/v1/videos/{video_id}")).raise_for_status().json()
        return video["status"] in {"completed", "failed"}

    await eventually(is_over, timeout=100)
    video = (await client.get(f"/v1/videos/{video_id}")).json()
    assert video["status"] == "completed", video
    return video_id


async def _blocks(client: httpx.AsyncClient, video_id: str, *, parts: int) -> list[str]:
    """The file in that many ranges at the same time, or a few less; gives the hash of each block of it."""
    url = f"/v1/videos/{video_id}/content"
    size = int((await client.head(url)).raise_for_status().headers["content-length"])
    share = -(-size // (BLOCK_BYTES * parts)) * BLOCK_BYTES

    async def fetch(start: int) -> list[str]:
        headers = {"range": f"bytes={start}-{start + share - 1}"}
        async with client.stream("GET", url, headers=headers) as answer:
            assert answer.status_code == 206
            return [hashlib.sha256(block).hexdigest() async for block in answer.aiter_bytes(BLOCK_BYTES)]

    received = await asyncio.gather(*(fetch(start) for start in range(0, size, share)))
    return [digest for digests in received for digest in digests]


async def _look_at(client: httpx.AsyncClient, video_id: str) -> None:
    """The clip plays, as far as its padding, and has a thumbnail."""
    url = f"/v1/videos/{video_id}/content"
    beginning = (await client.get(url, headers={"range": f"bytes=0-{4 * BLOCK_BYTES}"})).raise_for_status().content
    assert clip_facts(beginning).frame_count > 0
    thumbnail = (await client.get(url, params={"variant": "thumbnail"})).raise_for_status()
    assert thumbnail.headers["content-type"] == "image/webp"
