"""Holds the books of a run against each other: what was promised, as numbers that have to be zero."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from flow2api_chaos.accounts import PlannedAccount
from flow2api_chaos.books import FINAL_STATES, OPEN_ENTRY_STATES, Books, Entry, Job
from flow2api_chaos.clients import FINAL, Story
from flow2api_chaos.plan import ChaosPlan
from flow2api_chaos.reconciliation import reconcile, taken_by_upstream
from flow2api_chaos.whereabouts import Table, by_account, by_route

_UPSAMPLING: Final = "flow.video_upsample"
_LINES: Final = ("generate", "upscale")
_ENTRY_OF: Final = {"completed": "settled", "filtered": "released"}


@dataclass(slots=True)
class Audit:
    """What was found. ``faults`` holds, by promise, what breaks it; ``facts`` is for people."""

    faults: dict[str, list[str]] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)
    tables: list[Table] = field(default_factory=list)

    @property
    def is_clean(self) -> bool:
        return not any(self.faults.values())


def audit(
    stories: Sequence[Story],
    books: Books,
    *,
    plan: ChaosPlan,
    leaked: Sequence[str],
    broken_files: Mapping[str, str],
    tokens: Sequence[Mapping[str, Any]],
) -> Audit:
    """Check every promise. ``tokens`` are the accounts as the pool tells of them."""
    jobs = {job.video_id: job for job in books.jobs}
    found = Audit()
    found.faults = {
        "accepted jobs lost": _lost(stories, jobs),
        "jobs without a final state and reason": [
            f"{job.video_id} {job.state} {job.error_code} ({job.prompt})"
            for job in books.jobs
            if job.state not in FINAL_STATES or (job.state != "completed" and not job.error_code)
        ],
        "jobs submitted more than once": _doubled(books),
        "repeats with one key that made more than one job": _repeated(stories, books),
        "requests refused that are good": [
            f"{story.plan.prompt}: {story.refusal}" for story in stories if story.refusal[:1] == "4"
        ],
        "leases leaked": list(leaked),
        "ledger entries left open": [
            f"{entry.generation_id} {entry.line} {entry.state} ({entry.reason})"
            for entry in books.entries
            if entry.state in OPEN_ENTRY_STATES
        ],
        "ledger entries against their jobs": _against_jobs(books, jobs),
        "ledger entries against the upstream's charges": _against_upstream(books, jobs),
        "ledger and upstream's account apart": [
            f"{sums.difference} {sums.unit}: {sums}" for sums in reconcile(books) if sums.difference
        ],
        "days that do not add up": _days(books),
        "accounts over their limit upstream": _over_limit(books, plan.accounts),
        "files of completed jobs that do not decode": [f"{id_}: {why}" for id_, why in broken_files.items()],
        "clients that did not see the end": _unseen(stories, jobs),
        "messages left in the outbox": [str(books.outbox_count)] if books.outbox_count else [],
    }
    if plan.is_mix:
        found.faults["videos that were not made"] = _not_made(stories, jobs)
        found.tables += [by_account(plan.accounts, tokens, books), by_route(books)]
    found.tables.append(_sums(books))
    found.facts = _facts(stories, books)
    return found


def _not_made(stories: Sequence[Story], jobs: Mapping[str, Job]) -> list[str]:
    """Those whose submission was answered: of the others nobody may make a second one."""
    found = [f"{story.plan.prompt}: {story.refusal or 'not asked for'}" for story in stories if not story.ids]
    return found + [
        f"{job.video_id} {job.state} {job.error_code} ({job.prompt})"
        for job in jobs.values()
        if job.state != "completed" and job.error_code != "submission_unknown"
    ]


def _sums(books: Books) -> Table:
    columns = ("reconciliation", "ledger, settled", "disputed, and charged", "without a price", "upstream", "apart")
    return Table(
        columns,
        tuple(
            (
                sums.unit,
                *(f"{n:,}" for n in (sums.settled, sums.disputed, sums.unpriced, sums.upstream, sums.difference)),
            )
            for sums in reconcile(books)
        ),
    )


def _lost(stories: Sequence[Story], jobs: Mapping[str, Job]) -> list[str]:
    return [f"{id_} ({story.plan.prompt})" for story in stories for id_ in story.ids if id_ not in jobs]


def _doubled(books: Books) -> list[str]:
    found = []
    for prompt, seen in books.sandbox["submissions"].items():
        stages: Counter[str] = Counter()
        for route, count in seen["accepted_routes"].items():
            stages["upscale" if route == _UPSAMPLING else "generate"] += count
        found += [f"{count} x {stage}: {prompt}" for stage, count in stages.items() if count > 1]
    return found


def _repeated(stories: Sequence[Story], books: Books) -> list[str]:
    by_prompt = Counter(job.prompt for job in books.jobs)
    found = [f"{count} jobs: {prompt}" for prompt, count in by_prompt.items() if count > 1]
    return found + [f"{len(story.ids)} ids: {story.plan.prompt}" for story in stories if len(story.ids) > 1]


def _against_jobs(books: Books, jobs: Mapping[str, Job]) -> list[str]:
    found = []
    by_job: dict[str, dict[str, Entry]] = defaultdict(dict)
    for entry in books.entries:
        by_job[entry.generation_id][entry.line] = entry
        if entry.reserved_credits != entry.credits + entry.released_credits:
            found.append(f"{entry.generation_id} {entry.line} does not add up")
        if entry.generation_id not in jobs:
            found.append(f"{entry.generation_id} has no job")
    for job in jobs.values():
        first = by_job[job.video_id].get("generate")
        if first is None:
            found.append(f"{job.video_id} has no entry")
        elif job.state in _ENTRY_OF and first.state != _ENTRY_OF[job.state]:
            found.append(f"{job.video_id} is {job.state}, its entry {first.state} ({first.reason})")
    return found


def _against_upstream(books: Books, jobs: Mapping[str, Job]) -> list[str]:
    """Every charge is settled or disputed, and what is released was not charged."""
    found = []
    for entry in books.entries:
        job = jobs.get(entry.generation_id)
        if job is None or entry.line not in _LINES or entry.state == "disputed":
            continue
        in_credits = job.provider == "flow"
        taken = taken_by_upstream(books, job.prompt, in_credits=in_credits, upscale=entry.line == "upscale")
        own = entry.credits if in_credits else entry.micros or 0
        # The price of continued clips of Flow is not documented (docs/upstream/flow.md, section 9), so that the ledger
        # counts nothing for them.
        counted = taken if in_credits and job.is_continued and taken else own
        expected = counted if entry.state == "settled" else 0
        if taken != expected:
            found.append(
                f"{job.video_id} {entry.line} {entry.state} {own} ({entry.reason}), upstream took {taken}: "
                f"{job.state} {job.prompt}"
            )
    return found


def _days(books: Books) -> list[str]:
    found = []
    for day in books.days:
        entries = [entry for entry in books.entries if entry.day == day["day"]]
        settled = [entry for entry in entries if entry.state == "settled"]
        expected = {
            "reserved_credits": sum(entry.reserved_credits for entry in entries),
            "settled_credits": sum(entry.credits for entry in settled),
            "released_credits": sum(entry.released_credits for entry in entries),
            "open_credits": sum(entry.credits for entry in entries) - sum(entry.credits for entry in settled),
        }
        told = {name: int(day[name]) for name in expected}
        if told != expected:
            found.append(f"{day['day']}: {told}, the entries say {expected}")
    return found


def _over_limit(books: Books, accounts: Sequence[PlannedAccount]) -> list[str]:
    limits = {account.upstream_name: account.video_limit for account in accounts}
    return [
        f"{account}: {seen['highest']['video']} at once"
        for account, seen in books.sandbox["concurrency"].items()
        if seen["highest"].get("video", 0) > limits[account]
    ]


def _unseen(stories: Sequence[Story], jobs: Mapping[str, Job]) -> list[str]:
    found = []
    for story in stories:
        found += [f"{story.plan.prompt}: {trouble}" for trouble in story.trouble]
        if not story.waits_for_end:
            continue
        job = jobs.get(min(story.ids))
        if story.last_status not in FINAL:
            found.append(f"{story.plan.prompt} ({story.plan.habit}): saw {story.last_status or 'nothing'}")
        elif job is not None and (story.last_status == "completed") != (job.state == "completed"):
            found.append(f"{story.plan.prompt}: saw {story.last_status}, the job is {job.state}")
    return found


def _facts(stories: Sequence[Story], books: Books) -> dict[str, Any]:
    submissions = books.sandbox["submissions"].values()
    return {
        "videos asked for": len(stories),
        "accepted, as clients were told": sum(bool(story.ids) for story in stories),
        "jobs": len(books.jobs),
        "not accepted": dict(Counter(story.refusal[:40] for story in stories if story.refusal)),
        "jobs by kind": dict(Counter(story.plan.kind for story in stories)),
        "clients by habit": dict(Counter(str(story.plan.habit) for story in stories)),
        "ends": dict(Counter(f"{job.state} {job.error_code}".strip() for job in books.jobs)),
        "not enlarged": sum(bool(job.note) for job in books.jobs),
        "submissions accepted upstream": sum(seen["accepted"] for seen in submissions),
        "ledger entries": dict(Counter(entry.state for entry in books.entries)),
        "credits settled": sum(entry.credits for entry in books.entries if entry.state == "settled"),
        "dollars settled": sum(entry.micros or 0 for entry in books.entries if entry.state == "settled") / 1_000_000,
        "credits disputed": sum(entry.credits for entry in books.entries if entry.state == "disputed"),
        "credits the upstream kept": sum(
            amount
            for name, factor in (("charged", 1), ("refunded", -1))
            for amount in (
                factor * value for account, value in books.sandbox[name].items() if account.startswith("sandbox-st")
            )
        ),
        "most videos at once per account": max(
            (seen["highest"].get("video", 0) for seen in books.sandbox["concurrency"].values()), default=0
        ),
    }
