"""The states of a video job and the moves between them that are legal.

::

    queued ⇄ submitting ─> in_progress ─> storing ─> completed
                               └> upscaling ─┘
    any state that is not final ─> failed, filtered, cancelled, expired

``submitting → queued`` happens only while nothing has been paid for. ``storing`` may be skipped, because events can
arrive in another order than they were sent.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from enum import IntEnum, StrEnum
from types import MappingProxyType
from typing import Final


class JobState(StrEnum):
    """Where a job stands; the values are those of the database and of flow2api.generation.v1.VideoState."""

    QUEUED = "queued"
    SUBMITTING = "submitting"
    IN_PROGRESS = "in_progress"
    UPSCALING = "upscaling"
    STORING = "storing"
    COMPLETED = "completed"
    FAILED = "failed"
    FILTERED = "filtered"
    CANCELLED = "cancelled"
    EXPIRED = "expired"


class Stage(IntEnum):
    """Which step of a job the upstream is asked for; the numbers are those of flow2api.events.v1.VideoStage."""

    GENERATE = 1
    UPSCALE = 2


FINAL_STATES: Final = frozenset(
    {JobState.COMPLETED, JobState.FAILED, JobState.FILTERED, JobState.CANCELLED, JobState.EXPIRED}
)
LIVE_STATES: Final = frozenset(JobState) - FINAL_STATES
FOLLOWED_STATES: Final = frozenset({JobState.IN_PROGRESS, JobState.UPSCALING, JobState.STORING})
"""The upstream has accepted the job: it is paid for, and the poller follows it."""

_UNHAPPY_ENDS: Final = frozenset({JobState.FAILED, JobState.FILTERED, JobState.CANCELLED, JobState.EXPIRED})

TRANSITIONS: Final[Mapping[JobState, frozenset[JobState]]] = MappingProxyType(
    {
        JobState.QUEUED: frozenset({JobState.SUBMITTING}) | _UNHAPPY_ENDS,
        JobState.SUBMITTING: frozenset({JobState.QUEUED, JobState.IN_PROGRESS}) | _UNHAPPY_ENDS,
        JobState.IN_PROGRESS: frozenset({JobState.UPSCALING, JobState.STORING, JobState.COMPLETED}) | _UNHAPPY_ENDS,
        JobState.UPSCALING: frozenset({JobState.STORING, JobState.COMPLETED}) | _UNHAPPY_ENDS,
        JobState.STORING: frozenset({JobState.COMPLETED}) | _UNHAPPY_ENDS,
    }
    | {state: frozenset() for state in FINAL_STATES}
)


class IllegalTransition(Exception):
    """Our own mistake: the table has no such move."""


def check_transition(expected: Collection[JobState], target: JobState) -> None:
    """Refuse a move that is illegal from any of the expected states. Raises IllegalTransition."""
    for state in expected:
        if target not in TRANSITIONS[state]:
            raise IllegalTransition(f"{state} -> {target}")
