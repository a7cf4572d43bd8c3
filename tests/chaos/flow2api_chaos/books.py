"""What everybody's books say at the end: the jobs and the ledger in SQL, the leases in Redis, the upstream's report."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Final

import httpx
import redis

from flow2api_chaos.system import DATABASE, ChaosSystem
from flow2api_proto.tokens.v1 import token_pb2

FINAL_STATES: Final = frozenset({"completed", "failed", "filtered", "cancelled", "expired"})
OPEN_ENTRY_STATES: Final = frozenset({"reserved", "charged"})


@dataclass(frozen=True, slots=True)
class Job:
    """A row of the jobs."""

    video_id: str
    prompt: str
    state: str
    stage: int
    error_code: str
    note: str
    provider: str
    lease_id: str
    is_continued: bool


@dataclass(frozen=True, slots=True)
class Entry:
    """A row of the ledger."""

    generation_id: str
    line: str
    state: str
    reason: str
    day: str
    reserved_credits: int
    credits: int
    released_credits: int
    provider: str | None = None
    micros: int | None = None


@dataclass(frozen=True, slots=True)
class Attempt:
    """A row of the attempts."""

    generation_id: str
    provider: str
    upstream_model: str
    token_id: int
    passed_by: list[Any]
    outcome: str
    reason: str
    next_step: str


@dataclass(frozen=True, slots=True)
class Books:
    """All of them at one time. ``leases`` are deadlines in milliseconds by lease id."""

    jobs: tuple[Job, ...]
    entries: tuple[Entry, ...]
    days: tuple[dict[str, Any], ...]
    outbox_count: int
    leases: dict[str, float]
    sandbox: dict[str, Any]
    bill_micros: int = 0
    attempts: tuple[Attempt, ...] = ()

    @property
    def is_settled(self) -> bool:
        """Every job final, every charge closed or disputed, nothing left to publish."""
        return (
            all(job.state in FINAL_STATES for job in self.jobs)
            and not any(entry.state in OPEN_ENTRY_STATES for entry in self.entries)
            and not self.outbox_count
        )


def read_books(system: ChaosSystem) -> Books:
    """Read everything."""
    jobs = _rows(
        system,
        "SELECT video_id, prompt, state, stage, error_code, note, provider, encode(lease, 'hex') AS lease, "
        "source_video_id FROM generation.jobs ORDER BY video_id",
    )
    entries = _rows(
        system,
        "SELECT generation_id, line, state, reason, day, reserved_credits, credits, released_credits, "
        "provider, micros "
        "FROM generation.ledger_entries ORDER BY generation_id, line",
    )
    days = _rows(
        system,
        "SELECT day, sum(reserved_credits) AS reserved_credits, sum(open_credits) AS open_credits, "
        "sum(settled_credits) AS settled_credits, sum(released_credits) AS released_credits "
        "FROM generation.ledger_days GROUP BY day",
    )
    attempts = _rows(
        system,
        "SELECT generation_id, provider, upstream_model, token_id, passed_by, outcome, reason, next_step "
        "FROM generation.attempts ORDER BY start_time, attempt_id, try_number",
    )
    return Books(
        jobs=tuple(map(_job, jobs)),
        entries=tuple(Entry(**row) for row in entries),
        days=tuple(days),
        outbox_count=_rows(system, "SELECT count(*) AS n FROM generation.outbox")[0]["n"],
        leases=_leases(system),
        sandbox=_control(system, "/report"),
        bill_micros=_control(system, "/bill")["total_micros"],
        attempts=tuple(Attempt(**row) for row in attempts),
    )


def _control(system: ChaosSystem, path: str) -> dict[str, Any]:
    answer = httpx.get(system.sandbox.urls["control_url"] + path, trust_env=False, timeout=30)
    report: dict[str, Any] = answer.raise_for_status().json()
    return report


def _rows(system: ChaosSystem, query: str) -> list[dict[str, Any]]:
    text = system.postgres.server.execute(f"SELECT coalesce(json_agg(t), '[]') FROM ({query}) t", DATABASE)  # noqa: S608 - ours
    rows: list[dict[str, Any]] = json.loads(text)
    return rows


def _job(row: dict[str, Any]) -> Job:
    lease_id = token_pb2.Lease.FromString(bytes.fromhex(row["lease"])).lease_id if row["lease"] else ""
    return Job(
        video_id=row["video_id"],
        prompt=row["prompt"],
        state=row["state"],
        stage=row["stage"],
        error_code=row["error_code"] or "",
        note=row["note"] or "",
        provider=row["provider"] or "",
        lease_id=lease_id,
        is_continued=bool(row["source_video_id"]),
    )


def _leases(system: ChaosSystem) -> dict[str, float]:
    live: dict[str, float] = {}
    with redis.Redis.from_url(system.redis.url, socket_timeout=10) as client:
        seconds, micros = client.time()
        now = seconds * 1000 + micros / 1000
        for key in client.scan_iter("*:live:*"):
            for lease, deadline in client.zrange(key, 0, -1, withscores=True):
                if deadline > now:
                    live[lease.decode()] = deadline
    return live
