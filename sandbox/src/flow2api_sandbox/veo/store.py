"""Operations of Veo, from acceptance to the end of their results.

Source: docs/upstream/google-official.md, section 8.
"""

from dataclasses import dataclass, field

from flow2api_sandbox.bill import Charge, Item
from flow2api_sandbox.credentials import Work
from flow2api_sandbox.faults import FaultKind
from flow2api_sandbox.media.recipes import ClipRecipe
from flow2api_sandbox.storage.store import GcsUri

RESULT_LIFETIME_SECONDS = 48 * 3600.0
_FAILED = frozenset({FaultKind.FAIL, FaultKind.ERROR_STATUS})
_PRUNE_EVERY = 1024


@dataclass(slots=True, kw_only=True)
class VeoOperation(Work):
    """One ``predictLongRunning``. Results are in a bucket (``gcs_uris``), in files (``file_ids``), or inline."""

    name: str
    owner: str
    model: str
    recipe: ClipRecipe
    sample_count: int
    sample_item: Item
    storing_delay: float
    gcs_uris: list[GcsUri] = field(default_factory=list)
    file_ids: list[str] = field(default_factory=list)

    @property
    def filtered_count(self) -> int:
        """How many clips the filters hold back."""
        if self.fault is None or self.fault.kind is not FaultKind.FILTERED:
            return 0
        return min(self.fault.samples or self.sample_count, self.sample_count)

    @property
    def delivered_count(self) -> int:
        """How many clips come out."""
        if self.has_failed or (self.fault is not None and self.fault.kind is FaultKind.EMPTY):
            return 0
        return self.sample_count - self.filtered_count

    @property
    def has_failed(self) -> bool:
        """Whether it ends with an error."""
        return self.fault is not None and self.fault.kind in _FAILED

    def is_over(self, now: float) -> bool:
        """Whether it is done."""
        return now >= self.ends_at and not (self.fault is not None and self.fault.kind is FaultKind.ACTIVE)

    def refund(self, _now: float, /) -> Charge | None:
        """Failed operations and filtered clips cost nothing."""
        if self.has_failed:
            return self.charge
        return self.charge_for(self.filtered_count) if self.filtered_count else None

    def charge_for(self, samples: int) -> Charge:
        """What so many clips of it cost."""
        item = self.sample_item
        items = (Item(item.unit, item.variant, item.quantity * samples, item.micros * samples),)
        whole = self.charge
        return Charge(whole.credential, whole.project, whole.location, whole.model, items)


class VeoStore:
    """All operations whose results still live."""

    def __init__(self) -> None:
        self.operations: dict[str, VeoOperation] = {}

    def add(self, operation: VeoOperation, now: float) -> None:
        """Keep one; now and then those go whose results have expired."""
        if len(self.operations) % _PRUNE_EVERY == _PRUNE_EVERY - 1:
            oldest = now - RESULT_LIFETIME_SECONDS
            self.operations = {name: each for name, each in self.operations.items() if each.ends_at > oldest}
        self.operations[operation.name] = operation
