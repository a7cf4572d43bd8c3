"""The sandbox's own account of money: what each credential and project was charged for, in millionths of a dollar.

Lines are summed as they come, so that the bill grows with the variety of what is made and not with the number of calls.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class Unit(StrEnum):
    """What is counted."""

    IMAGE = "image"
    SECOND = "second"
    INPUT_TOKEN = "input_token"  # noqa: S105 - a unit of language
    OUTPUT_TOKEN = "output_token"  # noqa: S105 - a unit of language


@dataclass(frozen=True, slots=True)
class Item:
    """So many units of one sort and their price; ``variant`` tells sorts apart: a size, a resolution."""

    unit: Unit
    variant: str
    quantity: int
    micros: int


@dataclass(frozen=True, slots=True)
class Charge:
    """Everything that one call costs, and who pays."""

    credential: str
    project: str
    location: str
    model: str
    items: tuple[Item, ...]

    @property
    def micros(self) -> int:
        """The sum."""
        return sum(item.micros for item in self.items)


@dataclass(frozen=True, slots=True)
class _Line:
    credential: str
    project: str
    location: str
    model: str
    unit: Unit
    variant: str


@dataclass(slots=True)
class _Sums:
    quantity: int = 0
    micros: int = 0
    refunded_quantity: int = 0
    refunded_micros: int = 0


@dataclass(slots=True)
class Bill:
    """All charges and refunds since the start or the last reset of the report."""

    _lines: dict[_Line, _Sums] = field(default_factory=dict)

    def charge(self, charge: Charge) -> None:
        """Add a charge."""
        for sums, item in self._sums_of(charge):
            sums.quantity += item.quantity
            sums.micros += item.micros

    def refund(self, charge: Charge) -> None:
        """Give a charge, or a part of it, back."""
        for sums, item in self._sums_of(charge):
            sums.refunded_quantity += item.quantity
            sums.refunded_micros += item.micros

    def as_json(self) -> dict[str, Any]:
        """Every line, and what is to be paid in all and by credential, project and model (refunds taken off)."""
        totals: dict[str, Counter[str]] = {"credentials": Counter(), "projects": Counter(), "models": Counter()}
        lines = []
        total = 0
        for line, sums in self._lines.items():
            net = sums.micros - sums.refunded_micros
            total += net
            totals["credentials"][line.credential] += net
            totals["projects"][line.project] += net
            totals["models"][line.model] += net
            lines.append(
                {
                    "credential": line.credential,
                    "project": line.project,
                    "location": line.location,
                    "model": line.model,
                    "unit": line.unit.value,
                    "variant": line.variant,
                    "quantity": sums.quantity,
                    "micros": sums.micros,
                    "refunded_quantity": sums.refunded_quantity,
                    "refunded_micros": sums.refunded_micros,
                }
            )
        return {
            "currency": "USD",
            "total_micros": total,
            **{name: dict(counter) for name, counter in totals.items()},
            "lines": lines,
        }

    def _sums_of(self, charge: Charge) -> Iterable[tuple[_Sums, Item]]:
        for item in charge.items:
            line = _Line(charge.credential, charge.project, charge.location, charge.model, item.unit, item.variant)
            yield self._lines.setdefault(line, _Sums()), item
