"""What something costs, in the two units: credits of an account, and money."""

from __future__ import annotations

from dataclasses import dataclass

CURRENCY = "USD"


@dataclass(frozen=True, slots=True)
class Cost:
    """``credits`` of the account. ``micros`` are millionths of a US dollar; None where the route has no price in
    money."""

    credits: int = 0
    micros: int | None = None

    @property
    def is_free(self) -> bool:
        """Whether it takes nothing of either unit."""
        return not self.credits and not self.micros

    def times(self, count: int) -> Cost:
        """The cost of several."""
        return Cost(self.credits * count, None if self.micros is None else self.micros * count)


def dearest(costs: list[Cost]) -> Cost:
    """The most that one of these can take, each unit by itself; nothing of none."""
    known = [cost.micros for cost in costs if cost.micros is not None]
    return Cost(max((cost.credits for cost in costs), default=0), max(known) if known else None)


@dataclass(frozen=True, slots=True)
class Budget:
    """What an API key may spend per UTC day: credits, and millionths of a US dollar; None is unlimited."""

    credits: int | None = None
    micros: int | None = None


NO_BUDGET = Budget()
