"""What calls and pays at the official APIs, and the work that it has under way.

A *credential* is an API key, a service account or a user; its name is what faults and reports know it by. A *caller* is
a credential in one call: with the project that is charged and the location that is asked.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from flow2api_sandbox.bill import Charge
from flow2api_sandbox.faults import STUCK_SECONDS, Fault, FaultKind
from flow2api_sandbox.ledger import ConcurrencyWatch, GenerationKind


@dataclass(slots=True, kw_only=True)
class Work:
    """A generation from acceptance to its end. Times are seconds of the sandbox's clock."""

    prompt: str
    route: str
    kind: GenerationKind
    created_at: float
    duration: float
    charge: Charge
    fault: Fault | None = None
    spoiled_answers: int = 0

    @property
    def ends_at(self) -> float:
        """When the work is over, unless something keeps it from ending."""
        return self.created_at + self.duration

    def is_over(self, now: float) -> bool:
        """Whether the state will not change any more."""
        raise NotImplementedError

    def refund(self, now: float, /) -> Charge | None:
        """What goes back once it is over; ``None``: nothing."""
        raise NotImplementedError

    def spoils(self, kind: FaultKind, *, default_answers: int | None) -> bool:
        """Whether a fault of that kind hits this answer too; counts it."""
        if self.fault is None or self.fault.kind is not kind:
            return False
        limit = self.fault.answers or default_answers
        if limit is not None and self.spoiled_answers >= limit:
            return False
        self.spoiled_answers += 1
        return True


@dataclass(slots=True, kw_only=True)
class Credential:
    """Something that shows itself to an official API."""

    name: str
    running: list[Work] = field(default_factory=list)
    watch: ConcurrencyWatch = field(default_factory=ConcurrencyWatch)


@dataclass(frozen=True, slots=True)
class Caller:
    """A credential in one call. ``owner`` is under what files, interactions and operations are kept."""

    credential: Credential
    project: str
    location: str
    owner: str

    @property
    def name(self) -> str:
        """The credential's name."""
        return self.credential.name


def over(works: Iterable[Work], now: float) -> tuple[list[Work], list[Work]]:
    """The works that ended or hang for good, and those that still run."""
    ended: list[Work] = []
    running: list[Work] = []
    for work in works:
        is_stuck = now >= work.ends_at + STUCK_SECONDS
        (ended if work.is_over(now) or is_stuck else running).append(work)
    return ended, running
