"""What went where and why: attempts by account and by route, as tables for people."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from flow2api_chaos.accounts import PlannedAccount
from flow2api_chaos.books import Attempt, Books


@dataclass(frozen=True, slots=True)
class Table:
    """Columns and rows of text."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def by_account(accounts: Sequence[PlannedAccount], tokens: Sequence[Mapping[str, Any]], books: Books) -> Table:
    """Each account of the plan with what was asked of it, what it answered, and how it stands at the end."""
    names = {token["id"]: token["remark"] for token in tokens}
    states = {token["remark"]: token for token in tokens}
    attempts: dict[str, list[Attempt]] = defaultdict(list)
    for attempt in books.attempts:
        attempts[names.get(attempt.token_id, "")].append(attempt)
    completed = {job.video_id for job in books.jobs if job.state == "completed"}
    rows = []
    for account in accounts:
        own = attempts[account.name]
        taken = [each for each in own if each.outcome == "accepted"]
        rows.append(
            (
                account.name + (f" ({account.location})" if account.location else ""),
                account.trouble,
                str(account.video_limit),
                str(len(own)),
                str(len(taken)),
                str(len({each.generation_id for each in taken} & completed)),
                _refusals(own),
                _state(states.get(account.name, {})),
            )
        )
    columns = (
        "account",
        "trouble",
        "limit",
        "asked",
        "accepted",
        "served",
        "what it refused with, and what followed",
        "at the end",
    )
    return Table(columns, tuple(rows))


def by_route(books: Books) -> Table:
    """Each route with how often it was taken, how often it had no account free when another was taken, and why."""
    taken = Counter(f"{each.provider}/{each.upstream_model}" for each in books.attempts if each.outcome == "accepted")
    passed = [route for each in books.attempts for route in each.passed_by]
    times = Counter(route["route"] for route in passed)
    reasons: dict[str, Counter[str]] = defaultdict(Counter)
    for route in passed:
        reasons[route["route"]].update(route["accounts"])
    rows = tuple(
        (route, str(taken[route]), str(times[route]), _counted(reasons[route])) for route in sorted({*taken, *times})
    )
    return Table(("route", "accepted", "passed by", "its accounts then, summed over those times"), rows)


def _counted(counts: Counter[str]) -> str:
    return ", ".join(f"{count} {reason}" for reason, count in counts.most_common())


def _refusals(attempts: Sequence[Attempt]) -> str:
    counts = Counter(
        f"{each.outcome} → {each.next_step.replace('_', ' ')}" for each in attempts if each.outcome != "accepted"
    )
    return ", ".join(f"{count} x {what}" for what, count in counts.most_common())


def _state(token: Mapping[str, Any]) -> str:
    if not token:
        return "not in the pool"
    told = [token["state"] + (f": {token['state_reason']}" if token["state_reason"] else "")]
    told += [f"{token['credits']} credits"] if token["credits"] is not None else []
    told += [f"{rest['model']} rests: {rest['reason']}" for rest in token["rests"]]
    return ", ".join(told)
