"""The states of an image job and of its pictures.

::

    job       queued ─> in_progress ─> completed, failed
              any that is not final ─> cancelled

    picture   waiting ⇄ asked ─> made
              waiting, asked ─> failed;  waiting ─> cancelled

A picture is ``asked`` from right before the call that costs something; it goes back only when it is certain that the
upstream has not accepted it. A job is final as soon as none of its pictures is open, or when it is cancelled; pictures
that were asked for by then still come.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final


class ImageJobState(StrEnum):
    """Where a job stands; the values are those of the database and of flow2api.generation.v1.ImageJobState."""

    QUEUED = "queued"
    IN_PROGRESS = "in_progress"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


class PictureState(StrEnum):
    """Where one picture of a job stands; the values are those of the database."""

    WAITING = "waiting"
    ASKED = "asked"
    MADE = "made"
    FAILED = "failed"
    CANCELLED = "cancelled"


LIVE_STATES: Final = frozenset({ImageJobState.QUEUED, ImageJobState.IN_PROGRESS})
FINAL_STATES: Final = frozenset(ImageJobState) - LIVE_STATES
OPEN_PICTURES: Final = frozenset({PictureState.WAITING, PictureState.ASKED})
