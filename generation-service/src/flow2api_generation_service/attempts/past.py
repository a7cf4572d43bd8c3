"""Attempts that are noted once they are over: those of pictures, whose rows are written together at their end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from flow2api_common.clock import Clock, utc_now
from flow2api_common.ids import new_id
from flow2api_generation_service.attempts.outcomes import ABANDONED, AttemptResult, NextStepAfter
from flow2api_generation_service.attempts.passed_route import PassedRoute, passed_to_json

_NOT_ASKED = AttemptResult(ABANDONED, next_step=NextStepAfter.END)


@dataclass(frozen=True, slots=True)
class NewAttempt:
    """Where something is tried."""

    attempt_id: str
    generation_id: str
    line: str
    provider: str
    upstream_model: str
    token_id: int
    location: str = ""
    passed_by: Sequence[Any] = field(default_factory=tuple)
    """As it is kept: `passed_to_json`."""


@dataclass(slots=True)
class PastAttempt:
    """One attempt. ``end_time`` is None while it is under way."""

    where: NewAttempt
    start_time: datetime
    try_number: int = 1
    result: AttemptResult = _NOT_ASKED
    end_time: datetime | None = None


class PastAttempts:
    """The attempts of one part of a generation, in order."""

    def __init__(self, *, generation_id: str, line: str, clock: Clock = utc_now) -> None:
        self._generation_id = generation_id
        self._line = line
        self._clock = clock
        self._attempts: list[PastAttempt] = []

    def begin(
        self, *, provider: str, upstream_model: str, token_id: int, location: str, passed: Sequence[PassedRoute]
    ) -> None:
        """An account is asked."""
        where = NewAttempt(
            attempt_id=new_id(),
            generation_id=self._generation_id,
            line=self._line,
            provider=provider,
            upstream_model=upstream_model,
            token_id=token_id,
            location=location,
            passed_by=passed_to_json(passed),
        )
        self._attempts.append(PastAttempt(where, self._clock()))

    def again(self, result: AttemptResult) -> None:
        """It did not work, and the same account is asked again."""
        last = self._attempts[-1]
        self.end(result)
        self._attempts.append(PastAttempt(last.where, self._clock(), last.try_number + 1))

    def end(self, result: AttemptResult) -> None:
        """What came of the last one. Of one that has ended nothing changes."""
        last = self._attempts[-1]
        if last.end_time is None:
            last.result, last.end_time = result, self._clock()

    def take(self) -> list[PastAttempt]:
        """All of them, each once: to be written. One that is under way was broken off."""
        taken, self._attempts = self._attempts, []
        return taken
