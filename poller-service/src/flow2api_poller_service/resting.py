"""Tokens whose status call failed: until when they are left alone, and how often in a row it failed.

It only paces this poller: losing it loses nothing, and another poller learns it from its own first call.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

_MAX_REMEMBERED: Final = 10_000
_NOTHING: Final = timedelta(0)


@dataclass(frozen=True, slots=True)
class _Rest:
    failure_count: int
    until: datetime


class RestingTokens:
    """Bounded: of very many the oldest is forgotten."""

    def __init__(self) -> None:
        self._rests: OrderedDict[int, _Rest] = OrderedDict()

    def failure_count(self, token_id: int) -> int:
        """How often in a row its call failed."""
        rest = self._rests.get(token_id)
        return rest.failure_count if rest is not None else 0

    def left(self, token_id: int, now: datetime) -> timedelta:
        """For how long it is not to be asked."""
        rest = self._rests.get(token_id)
        return max(rest.until - now, _NOTHING) if rest is not None else _NOTHING

    def rest(self, token_id: int, *, until: datetime) -> None:
        """Its call failed: leave it alone until then."""
        failure_count = self.failure_count(token_id) + 1
        self._rests.pop(token_id, None)
        self._rests[token_id] = _Rest(failure_count, until)
        if len(self._rests) > _MAX_REMEMBERED:
            self._rests.popitem(last=False)

    def answered(self, token_id: int) -> None:
        """It answers again."""
        self._rests.pop(token_id, None)
