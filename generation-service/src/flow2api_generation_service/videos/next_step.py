"""What a submit worker does with its message after it has looked at the job."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from enum import Enum, auto
from typing import TypeAlias


class Step(Enum):
    """DONE: nothing is left to do for this message. AGAIN: look at the job anew at once."""

    DONE = auto()
    AGAIN = auto()


@dataclass(frozen=True, slots=True)
class Later:
    """JetStream shall bring the message again after this pause."""

    delay: timedelta


NextStep: TypeAlias = Step | Later
