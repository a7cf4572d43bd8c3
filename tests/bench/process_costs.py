"""What a process used while it worked, as the kernel tells (Linux)."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

_PAUSE_SECONDS = 0.25
_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


@dataclass(slots=True)
class ProcessCosts:
    """CPU seconds used since the beginning, and how far its resident memory rose above what it was then."""

    cpu_seconds: float = 0.0
    extra_bytes: int = 0


@asynccontextmanager
async def costs_of(pid: int) -> AsyncIterator[ProcessCosts]:
    """Watch a process for the length of the block; the numbers are complete after it."""
    costs = ProcessCosts()
    cpu_before, resident_before = _cpu_seconds(pid), _resident_bytes(pid)

    async def watch() -> None:
        while True:
            costs.extra_bytes = max(costs.extra_bytes, _resident_bytes(pid) - resident_before)
            await asyncio.sleep(_PAUSE_SECONDS)

    watching = asyncio.create_task(watch(), name="process-costs")
    try:
        yield costs
        costs.cpu_seconds = _cpu_seconds(pid) - cpu_before
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)


def _cpu_seconds(pid: int) -> float:
    # The name in parentheses may hold spaces. Source: proc(5).
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS_PER_SECOND


def _resident_bytes(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE_BYTES
