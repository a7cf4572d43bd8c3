"""The memory that a large clip takes on its way through the all-in-one mode, with its media in a directory."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path

from flow2api_testing.large_clips import extra_memory_of_large_clips
from flow2api_testing.systems import all_in_one_system

_MEBIBYTE = 1024 * 1024


async def measure_large_clips(folder: Path, *, clip_bytes: int) -> dict[str, int]:
    """Extra bytes by process at the worst moment."""
    context = all_in_one_system(folder, time_scale="0")
    system = await asyncio.to_thread(context.__enter__)
    try:
        return await extra_memory_of_large_clips(system, clip_bytes, clip_bytes)
    finally:
        await asyncio.to_thread(context.__exit__, None, None, None)


def large_clip_lines(extra: Mapping[str, int], *, clip_bytes: int) -> list[str]:
    """The table."""
    names = {name: name.partition("/")[2].rpartition("-")[0] or name for name in extra}
    shown = {"up": "all services", "python": "decoder of stills"}
    return [
        f"| process | extra MiB, clips of {clip_bytes / 1e6:.0f} MB |",
        "| --- | ---: |",
        *(f"| {shown.get(names[name], names[name])} | {size / _MEBIBYTE:.1f} |" for name, size in extra.items()),
    ]
