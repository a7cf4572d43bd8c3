"""Media that Flow accounts own: uploads, pictures, clips, and the course of a clip's generation."""

from dataclasses import dataclass, field
from enum import StrEnum

from flow2api_sandbox.faults import Fault, FaultKind
from flow2api_sandbox.ledger import GenerationKind
from flow2api_sandbox.media.recipes import ClipRecipe, Recipe

_PENDING_SHARE = 0.1
_REFUNDED_KINDS = frozenset({FaultKind.FAIL, FaultKind.ERROR_STATUS})


class GenerationStatus(StrEnum):
    """States of a clip. Source: docs/upstream/flow.md, section 9."""

    PENDING = "MEDIA_GENERATION_STATUS_PENDING"
    ACTIVE = "MEDIA_GENERATION_STATUS_ACTIVE"
    SUCCESSFUL = "MEDIA_GENERATION_STATUS_SUCCESSFUL"
    FAILED = "MEDIA_GENERATION_STATUS_FAILED"
    ERROR = "MEDIA_GENERATION_STATUS_ERROR_UNKNOWN"


@dataclass(slots=True)
class ClipCourse:
    """When a clip is what; all times in seconds of the sandbox's clock."""

    accepted_at: float
    duration: float
    storing_delay: float
    operation_name: str
    scene_id: str
    price: int
    route: str
    fault: Fault | None = None
    spoiled_answers: int = 0
    settled: bool = False

    @property
    def ready_at(self) -> float:
        """When its generation ends, well or badly."""
        return self.accepted_at + self.duration

    def status(self, now: float) -> GenerationStatus:
        """The state at a time."""
        age = now - self.accepted_at
        kind = self.fault.kind if self.fault else None
        if age < self.duration * _PENDING_SHARE:
            return GenerationStatus.PENDING
        if age < self.duration or kind is FaultKind.ACTIVE:
            return GenerationStatus.ACTIVE
        if kind is FaultKind.FAIL:
            return GenerationStatus.FAILED
        if kind is FaultKind.ERROR_STATUS:
            return GenerationStatus.ERROR
        return GenerationStatus.SUCCESSFUL

    def is_over(self, now: float) -> bool:
        """Whether the state will not change any more."""
        return self.status(now) not in (GenerationStatus.PENDING, GenerationStatus.ACTIVE)

    def is_refunded(self) -> bool:
        """Whether the price goes back: failed generations are not charged. Source: flow.md, section 4."""
        return self.fault is not None and self.fault.kind in _REFUNDED_KINDS

    def is_stored(self, now: float) -> bool:
        """Whether the file can be fetched."""
        ready = self.accepted_at + self.duration + self.storing_delay
        return self.status(now) is GenerationStatus.SUCCESSFUL and now >= ready

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
class FlowAsset:
    """One medium. ``project_id`` is empty for the old upload form, whose ids the new calls do not know."""

    name: str
    owner: str
    project_id: str
    kind: GenerationKind
    recipe: Recipe
    created_at: float
    workflow_id: str = ""
    prompt: str = ""
    model: str = ""
    aspect_ratio: str = ""
    seed: int = 0
    is_upload: bool = False
    course: ClipCourse | None = field(default=None)

    def is_available(self, now: float) -> bool:
        """Whether the file can be fetched and referred to."""
        return self.course is None or self.course.is_stored(now)


@dataclass(frozen=True, slots=True)
class Concatenation:
    """A join of clips under way."""

    owner: str
    recipe: ClipRecipe
    ready_at: float
    fails: bool
