"""What the Gemini side remembers: files and interactions, each belonging to one API key."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from flow2api_sandbox.faults import Fault, FaultKind
from flow2api_sandbox.ledger import GenerationKind
from flow2api_sandbox.media.recipes import Recipe


@dataclass(slots=True)
class GeminiFile:
    """One file; ``source`` is ``UPLOADED`` or ``GENERATED``. Times are seconds of the sandbox's clock."""

    file_id: str
    owner: str
    recipe: Recipe
    size_bytes: int
    created_at: float
    active_at: float
    source: str
    display_name: str = ""
    sha256: str = ""
    course: "Interaction | None" = None


@dataclass(slots=True)
class UploadSession:
    """A resumable upload under way."""

    owner: str
    mime_type: str
    display_name: str
    expected_size: int | None
    content: bytearray = field(default_factory=bytearray)


class InteractionStatus(StrEnum):
    """States of an interaction. Source: docs/upstream/google-official.md, section 6."""

    IN_PROGRESS = "in_progress"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    INCOMPLETE = "incomplete"


_FAULT_ENDS = {
    FaultKind.FAIL: InteractionStatus.FAILED,
    FaultKind.ERROR_STATUS: InteractionStatus.INCOMPLETE,
}


@dataclass(slots=True)
class Interaction:
    """One interaction from creation to its end. Prices are millionths of a dollar."""

    interaction_id: str
    owner: str
    model: str
    prompt: str
    route: str
    kind: GenerationKind
    created_at: float
    duration: float
    storing_delay: float
    price_micros: int
    recipe: Recipe
    request: dict[str, Any]
    input_images: int = 0
    fault: Fault | None = None
    file_id: str | None = None
    is_stored: bool = True
    cancelled_at: float | None = None
    spoiled_answers: int = 0

    @property
    def ends_at(self) -> float:
        """When the work is over."""
        return self.created_at + self.duration

    def status(self, now: float) -> InteractionStatus:
        """The state at a time."""
        if self.cancelled_at is not None:
            return InteractionStatus.CANCELLED
        kind = self.fault.kind if self.fault else None
        if now < self.ends_at or kind is FaultKind.ACTIVE:
            return InteractionStatus.IN_PROGRESS
        return _FAULT_ENDS.get(kind, InteractionStatus.COMPLETED) if kind else InteractionStatus.COMPLETED

    def is_over(self, now: float) -> bool:
        """Whether the state will not change any more."""
        return self.status(now) is not InteractionStatus.IN_PROGRESS

    def is_refunded(self, now: float) -> bool:
        """Whether the price goes back."""
        return self.is_over(now) and self.status(now) is not InteractionStatus.COMPLETED

    def spoils(self, kind: FaultKind, *, default_answers: int | None) -> bool:
        """Whether a fault of that kind hits this answer too; counts it."""
        if self.fault is None or self.fault.kind is not kind:
            return False
        limit = self.fault.answers or default_answers
        if limit is not None and self.spoiled_answers >= limit:
            return False
        self.spoiled_answers += 1
        return True


@dataclass(slots=True)
class GeminiStore:
    """All files, uploads and interactions of all keys."""

    files: dict[str, GeminiFile] = field(default_factory=dict)
    uploads: dict[str, UploadSession] = field(default_factory=dict)
    interactions: dict[str, Interaction] = field(default_factory=dict)
