"""Measure leases, the whole chain and polling beside floors, in one run, on this machine.

``make bench`` runs it. Everything is on loopback and stops by itself. The tables go to the terminal and, between their
markers, into docs/performance.md. Absolute numbers say little on a shared machine; the ratios to the floors of the same
run say more.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import platform
import sys
import tempfile
from pathlib import Path

from image_load import CONCURRENCY, image_lines, measure_images
from large_clips import large_clip_lines, measure_large_clips
from leases import lease_lines, measure_leases
from polling import SIZES, measure_polling, polling_lines
from report import write_table
from traffic_memory import CLIENTS, measure_traffic, traffic_lines

PARTS = ("leases", "gateway", "polling", "clips")


async def main(arguments: argparse.Namespace) -> None:
    page = None if arguments.no_write else Path(__file__).parents[2] / "docs" / "performance.md"
    title = (
        f"{os.cpu_count()} cores, Python {platform.python_version()}, {platform.system()} {platform.machine()}, "
        f"load average {os.getloadavg()[0]:.1f} at the start"
    )
    if "leases" in arguments.only:
        await measure_pools(arguments.seconds, title, page)
    if "gateway" in arguments.only:
        await measure_gateway(arguments, title, page)
    if "polling" in arguments.only:
        await measure_pollers(arguments, title, page)
    if "clips" in arguments.only:
        await measure_clips(arguments.clip_bytes, title, page)


async def measure_clips(clip_bytes: int, title: str, page: Path | None) -> None:
    """The memory that large clips take."""
    with tempfile.TemporaryDirectory(prefix="flow2api-bench-") as folder:
        extra = await measure_large_clips(Path(folder), clip_bytes=clip_bytes)
    write_table(large_clip_lines(extra, clip_bytes=clip_bytes), name="large clips", title=title, page=page)


async def measure_pollers(arguments: argparse.Namespace, title: str, page: Path | None) -> None:
    """Our poller beside a naive one."""
    with tempfile.TemporaryDirectory(prefix="flow2api-bench-") as folder:
        rows = await measure_polling(
            Path(folder), sizes=arguments.jobs, spread=arguments.spread, pollers=arguments.pollers
        )
    write_table(polling_lines(rows), name="polling", title=title, page=page)


async def measure_pools(seconds: float, title: str, page: Path | None) -> None:
    """Leases on Redis."""
    with tempfile.TemporaryDirectory(prefix="flow2api-bench-") as folder:
        rows_of_leases = await measure_leases(Path(folder), seconds=seconds)
    write_table(lease_lines(rows_of_leases), name="leases", title=title, page=page)


async def measure_gateway(arguments: argparse.Namespace, title: str, page: Path | None) -> None:
    """Images through everything, beside the floors; and the memory that much traffic takes."""
    with tempfile.TemporaryDirectory(prefix="flow2api-bench-") as folder:
        rows = await measure_images(Path(folder), seconds=arguments.seconds, concurrencies=arguments.at_once)
        write_table(image_lines(rows), name="images", title=title, page=page)
        measured = await measure_traffic(Path(folder), clients=arguments.clients)
        write_table(traffic_lines(measured), name="traffic", title=title, page=page)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=3.0, help="length of each measurement of load")
    parser.add_argument("--no-write", action="store_true", help="leave docs/performance.md alone")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS, help="which parts to measure")
    parser.add_argument(
        "--at-once", nargs="+", type=int, default=CONCURRENCY, help="gateway: requests at the same time"
    )
    parser.add_argument("--clients", type=int, default=CLIENTS, help="gateway: clients that move files at once")
    parser.add_argument("--jobs", nargs="+", type=int, default=SIZES, help="polling: how many jobs, in hundreds")
    parser.add_argument("--spread", type=float, default=0.0, help="polling: jobs take 20 s, plus or minus this part")
    parser.add_argument("--pollers", type=int, default=1, help="polling: replicas of our poller")
    parser.add_argument("--clip-bytes", type=int, default=200_000_000, help="clips: size of each")
    sys.exit(asyncio.run(main(parser.parse_args())))
