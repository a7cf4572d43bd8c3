"""What the sandbox saw: calls, submissions, charges, and how many generations ran at once."""

from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class GenerationKind(StrEnum):
    """What a generation makes; limits are counted apart."""

    IMAGE = "image"
    VIDEO = "video"


@dataclass(slots=True)
class ConcurrencyWatch:
    """How many generations of a kind run now for one account, and the most that ever did."""

    running: Counter[GenerationKind] = field(default_factory=Counter)
    highest: Counter[GenerationKind] = field(default_factory=Counter)

    def enter(self, kind: GenerationKind) -> None:
        """One more runs."""
        self.running[kind] += 1
        self.highest[kind] = max(self.highest[kind], self.running[kind])

    def leave(self, kind: GenerationKind) -> None:
        """One ended."""
        self.running[kind] -= 1


@dataclass(slots=True)
class SessionWatch:
    """How many calls of ``auth/session`` are unanswered now, the most that ever were, and when each began (seconds)."""

    running: int = 0
    highest: int = 0
    times: list[float] = field(default_factory=list)

    def enter(self, now: float) -> None:
        """One more has come."""
        self.times.append(now)
        self.running += 1
        self.highest = max(self.highest, self.running)

    def leave(self) -> None:
        """One was answered, or its connection has gone."""
        self.running -= 1


@dataclass(slots=True)
class Submission:
    """What was seen of one prompt: ``seen`` calls arrived well formed, ``accepted`` ones were executed.

    ``accepted_routes``, ``charged`` and ``refunded`` tell the same by route; prices are in the unit of the account.
    """

    seen: int = 0
    accepted: int = 0
    routes: Counter[str] = field(default_factory=Counter)
    accounts: Counter[str] = field(default_factory=Counter)
    batch_ids: Counter[str] = field(default_factory=Counter)
    accepted_routes: Counter[str] = field(default_factory=Counter)
    charged: Counter[str] = field(default_factory=Counter)
    refunded: Counter[str] = field(default_factory=Counter)


@dataclass(slots=True)
class Ledger:
    """Counters since the start or the last reset."""

    calls: Counter[str] = field(default_factory=Counter)
    statuses: dict[str, Counter[int]] = field(default_factory=lambda: defaultdict(Counter))
    submissions: dict[str, Submission] = field(default_factory=lambda: defaultdict(Submission))
    charged: Counter[str] = field(default_factory=Counter)
    refunded: Counter[str] = field(default_factory=Counter)
    sessions: dict[str, SessionWatch] = field(default_factory=lambda: defaultdict(SessionWatch))
    all_sessions: SessionWatch = field(default_factory=SessionWatch)

    def begin_session(self, account: str, now: float) -> Callable[[], None]:
        """A session call of an account has come; call what this gives when it is over."""
        watches = (self.sessions[account], self.all_sessions)
        for watch in watches:
            watch.enter(now)

        def end() -> None:
            for watch in watches:
                watch.leave()

        return end

    def count_answer(self, route: str, status: int) -> None:
        """A call was answered with that HTTP status; 0 means the connection was cut."""
        self.statuses[route][status] += 1

    def count_seen(self, *, prompt: str, route: str, account: str, batch_id: str | None = None) -> None:
        """A generation was asked for."""
        submission = self.submissions[prompt]
        submission.seen += 1
        submission.routes[route] += 1
        submission.accounts[account] += 1
        if batch_id is not None:
            submission.batch_ids[batch_id] += 1

    def count_accepted(self, prompt: str, *, route: str) -> None:
        """A generation was begun."""
        self.submissions[prompt].accepted += 1
        self.submissions[prompt].accepted_routes[route] += 1

    def count_charge(self, prompt: str, *, route: str, account: str, price: int) -> None:
        """A generation has taken its price."""
        self.charged[account] += price
        self.submissions[prompt].charged[route] += price

    def count_refund(self, prompt: str, *, route: str, account: str, price: int) -> None:
        """It was given back."""
        self.refunded[account] += price
        self.submissions[prompt].refunded[route] += price

    def as_json(self) -> dict[str, Any]:
        """For the report."""
        return {
            "calls": dict(self.calls),
            "statuses": {route: dict(counter) for route, counter in self.statuses.items()},
            "submissions": {
                prompt: {
                    "seen": each.seen,
                    "accepted": each.accepted,
                    "routes": dict(each.routes),
                    "accounts": dict(each.accounts),
                    "batch_ids": dict(each.batch_ids),
                    "accepted_routes": dict(each.accepted_routes),
                    "charged": dict(each.charged),
                    "refunded": dict(each.refunded),
                }
                for prompt, each in self.submissions.items()
            },
            "charged": dict(self.charged),
            "refunded": dict(self.refunded),
            "sessions": {
                account: {"running": watch.running, "highest": watch.highest, "times": watch.times}
                for account, watch in self.sessions.items()
            },
            "highest_session_count": self.all_sessions.highest,
        }
