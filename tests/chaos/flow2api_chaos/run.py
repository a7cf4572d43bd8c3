"""One run: the system, its clients and what breaks it, then the settling and the audit."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from flow2api_chaos.audit import Audit, audit
from flow2api_chaos.books import Books, read_books
from flow2api_chaos.clients import Clients
from flow2api_chaos.mishaps import MishapDoer
from flow2api_chaos.plan import ChaosPlan
from flow2api_chaos.strikes import Injected, Striker
from flow2api_chaos.system import API_KEY, ChaosSystem, admin_client, running_system
from flow2api_cli.media_facts import clip_facts

# Without renewal a lease ends; with a job behind it that nobody ends it would be renewed at each look.
_TWO_LOOKS_SECONDS = 8.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run has shown."""

    plan: ChaosPlan
    audit: Audit
    injected: Sequence[Injected]
    seconds: float
    settle_seconds: float


async def run_chaos(
    plan: ChaosPlan, directory: Path, *, settle_seconds: float, waits_for_leases: bool = False
) -> Outcome:
    """Do it. ``settle_seconds`` is how long the last jobs and charges may take after everything is whole again.

    With ``waits_for_leases`` it waits until every lease has ended; else those that nobody renews are taken for ended.
    """
    loop = asyncio.get_running_loop()
    begin = loop.time()
    async with running_system(directory, replicas=plan.replicas, accounts=plan.accounts, **plan.sandbox) as system:
        clients, striker = Clients(system.gateways, plan.seed, api_key=API_KEY), Striker(system)
        mishaps = MishapDoer(system)
        await mishaps.prepare(plan.mishaps)
        arriving_until = loop.time() + plan.seconds
        async with asyncio.TaskGroup() as group:
            group.create_task(mishaps.run(plan.mishaps), name="mishaps")
            at_work = group.create_task(clients.run(plan.videos), name="clients")
            await striker.run(plan.strikes)
            await asyncio.sleep(arriving_until - loop.time())
            await system.wait_until_ready()
            whole = loop.time()
            await asyncio.wait({at_work}, timeout=settle_seconds)
            at_work.cancel()
        books = await _settled(system, whole + settle_seconds)
        settled = loop.time() - whole
        leaked = await _leaked(system, books, waits_for_leases=waits_for_leases)
        broken = await _broken_files(system, books)
        tokens = await asyncio.to_thread(_tokens, system)
        found = audit(clients.stories, books, plan=plan, leaked=leaked, broken_files=broken, tokens=tokens)
        found.facts["answers that clients got"] = dict(clients.answers)
        injected = sorted([*striker.injected, *mishaps.injected], key=lambda each: each.at_seconds)
        return Outcome(plan, found, injected, round(loop.time() - begin, 1), round(settled, 1))


def _tokens(system: ChaosSystem) -> list[dict[str, Any]]:
    with admin_client(system) as admin:
        return list(admin.get("/admin/tokens").raise_for_status().json())


async def _settled(system: ChaosSystem, deadline: float) -> Books:
    loop = asyncio.get_running_loop()
    while True:
        books = await asyncio.to_thread(read_books, system)
        if books.is_settled or loop.time() > deadline:
            return books
        await asyncio.sleep(1)


async def _leaked(system: ChaosSystem, books: Books, *, waits_for_leases: bool) -> list[str]:
    """Leases that live on although no job is at work. What a lost answer leaves behind runs out by itself."""
    before = books.leases
    while before:
        await asyncio.sleep(_TWO_LOOKS_SECONDS)
        after = (await asyncio.to_thread(read_books, system)).leases
        renewed = [lease for lease, deadline in after.items() if deadline > before.get(lease, 0.0)]
        if renewed or not waits_for_leases:
            return renewed
        before = after
    return []


async def _broken_files(system: ChaosSystem, books: Books) -> dict[str, str]:
    broken = {}
    headers = {"authorization": f"Bearer {API_KEY}"}
    async with httpx.AsyncClient(base_url=system.gateways[0], headers=headers, timeout=60, trust_env=False) as client:
        for job in books.jobs:
            if job.state != "completed":
                continue
            answer = await client.get(f"/v1/videos/{job.video_id}/content")
            if not answer.is_success:
                broken[job.video_id] = f"{answer.status_code} {answer.text[:200]}"
                continue
            try:
                facts = await asyncio.to_thread(clip_facts, answer.content)
                if not facts.frame_count:
                    broken[job.video_id] = "no frames"
            except Exception as error:  # noqa: BLE001 - whatever a decoder raises is what is told
                broken[job.video_id] = repr(error)
    return broken
