"""What the official APIs remember: files and interactions, each belonging to an API key or a project."""

import secrets
from collections import deque
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from flow2api_sandbox.bill import Charge
from flow2api_sandbox.credentials import Credential, Work
from flow2api_sandbox.faults import FaultKind
from flow2api_sandbox.media.recipes import Recipe

_GUESSED_BYTES_PER_SECOND = 4000
_INTERACTIONS_WITH_BYTES = 64
# 55 days for those who pay. Source: docs/upstream/google-official.md, section 6.
_INTERACTION_LIFETIME_SECONDS = 55 * 86_400.0


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
    course: Work | None = None


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


@dataclass(slots=True, kw_only=True)
class Interaction(Work):
    """One interaction from creation to its end.

    ``contents`` are those of the input, as JSON. ``gcs_uri`` is where Vertex puts the result.
    """

    interaction_id: str
    owner: str
    payer: Credential
    model: str
    storing_delay: float
    recipe: Recipe
    contents: list[dict[str, Any]]
    input_tokens: dict[str, int]
    output_tokens: int
    file_id: str | None = None
    gcs_uri: str | None = None
    is_stored: bool = True
    cancelled_at: float | None = None

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

    def forget_bytes(self) -> None:
        """Leave the files that came inside the request out of its input from now on."""
        self.contents = [{name: value for name, value in each.items() if name != "data"} for each in self.contents]

    def refund(self, now: float, /) -> Charge | None:
        """The whole price, unless it was completed."""
        return None if self.status(now) is InteractionStatus.COMPLETED else self.charge


@dataclass(slots=True)
class GeminiStore:
    """All files, uploads and interactions of all callers.

    The last interactions alone keep the files that came inside their requests: thousands of them would fill the memory.
    """

    files: dict[str, GeminiFile] = field(default_factory=dict)
    uploads: dict[str, UploadSession] = field(default_factory=dict)
    interactions: dict[str, Interaction] = field(default_factory=dict)
    _with_bytes: deque[Interaction] = field(default_factory=deque)

    def keep(self, interaction: Interaction) -> None:
        """Remember one."""
        self.interactions[interaction.interaction_id] = interaction
        self._with_bytes.append(interaction)
        if len(self._with_bytes) > _INTERACTIONS_WITH_BYTES:
            self._with_bytes.popleft().forget_bytes()

    def interaction(self, interaction_id: str, now: float) -> Interaction | None:
        """One by its id while it is kept."""
        found = self.interactions.get(interaction_id)
        return found if found is not None and now < found.created_at + _INTERACTION_LIFETIME_SECONDS else None


def add_generated_file(
    store: GeminiStore, *, owner: str, recipe: Recipe, course: Work, active_at: float, at_least_bytes: int
) -> GeminiFile:
    """A file that a generation makes: ``PROCESSING`` until ``active_at``."""
    file = GeminiFile(
        file_id=secrets.token_hex(6),
        owner=owner,
        recipe=recipe,
        size_bytes=max(at_least_bytes, _GUESSED_BYTES_PER_SECOND * getattr(recipe, "seconds", 1)),
        created_at=course.created_at,
        active_at=active_at,
        source="GENERATED",
        course=course,
    )
    store.files[file.file_id] = file
    return file
