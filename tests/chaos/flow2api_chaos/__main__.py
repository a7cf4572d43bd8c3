"""``make chaos``: kill, cut and spoil everything while videos are made, and print what became of them.

The exit code is 1 when a promise was broken.
"""

from __future__ import annotations

import argparse
import asyncio
import secrets
import sys
import tempfile
from pathlib import Path

from flow2api_chaos.mix import make_mix
from flow2api_chaos.plan import make_plan
from flow2api_chaos.report import as_text, write_json, write_page
from flow2api_chaos.run import run_chaos

_SEEDS = 1_000_000
_VIDEOS = 300
_MIXED_VIDEOS = 200


def main() -> int:
    """Run as the arguments say."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--seed", type=int, default=None, help="the same seed breaks the same things; default: a new one"
    )
    parser.add_argument("--mix", action="store_true", help="uneven accounts of three providers; strikes only if asked")
    parser.add_argument("--videos", type=int, default=None, help="default: 300, of a mixed run 200")
    parser.add_argument("--minutes", type=float, default=5.0, help="how long videos arrive, and things break")
    parser.add_argument("--strikes", type=int, default=None, help="default: one every five seconds")
    parser.add_argument("--replicas", type=int, default=2, help="processes of each service")
    parser.add_argument("--limit", type=int, default=4, help="videos at once per account")
    parser.add_argument("--settle", type=float, default=600.0, help="seconds that the last jobs may take")
    parser.add_argument("--json", type=Path, default=None, help="write the report there, too")
    parser.add_argument("--page", type=Path, default=None, help="write the tables into this page")
    parser.add_argument("--keep", type=Path, default=None, help="directory for logs and files, which stays")
    parser.add_argument("--any-lease", action="store_true", help="do not wait until unknown submissions' leases end")
    arguments = parser.parse_args()
    seed = secrets.randbelow(_SEEDS) if arguments.seed is None else arguments.seed
    seconds = arguments.minutes * 60
    strikes = max(1, round(seconds / 5)) if arguments.strikes is None and not arguments.mix else arguments.strikes or 0
    if arguments.mix:
        videos = arguments.videos or _MIXED_VIDEOS
        plan = make_mix(seed, videos=videos, seconds=seconds, strikes=strikes, replicas=arguments.replicas)
    else:
        plan = make_plan(
            seed,
            videos=arguments.videos or _VIDEOS,
            seconds=seconds,
            strikes=strikes,
            replicas=arguments.replicas,
            video_limit=arguments.limit,
        )
    print(f"seed {seed}: {len(plan.videos)} videos over {seconds:.0f} s, {len(plan.strikes)} strikes", flush=True)
    with tempfile.TemporaryDirectory(prefix="flow2api-chaos-") as temporary:
        directory = arguments.keep or Path(temporary)
        directory.mkdir(parents=True, exist_ok=True)
        outcome = asyncio.run(
            run_chaos(plan, directory, settle_seconds=arguments.settle, waits_for_leases=not arguments.any_lease)
        )
    print(as_text(outcome))
    if arguments.json is not None:
        write_json(outcome, arguments.json)
    if arguments.page is not None:
        write_page(outcome, arguments.page)
    return 0 if outcome.audit.is_clean else 1


if __name__ == "__main__":
    sys.exit(main())
