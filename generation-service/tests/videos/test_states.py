"""The table of legal moves."""

from __future__ import annotations

import pytest

from flow2api_generation_service.videos.states import (
    FINAL_STATES,
    LIVE_STATES,
    TRANSITIONS,
    IllegalTransition,
    JobState,
    check_transition,
)

LEGAL = {
    "queued": {"submitting", "failed", "filtered", "cancelled", "expired"},
    "submitting": {"queued", "in_progress", "failed", "filtered", "cancelled", "expired"},
    "in_progress": {"upscaling", "storing", "completed", "failed", "filtered", "cancelled", "expired"},
    "upscaling": {"storing", "completed", "failed", "filtered", "cancelled", "expired"},
    "storing": {"completed", "failed", "filtered", "cancelled", "expired"},
}


@pytest.mark.parametrize("state", list(JobState))
@pytest.mark.parametrize("target", list(JobState))
def test_only_the_moves_of_the_design_are_legal(state: JobState, target: JobState) -> None:
    assert (target in TRANSITIONS[state]) == (target.value in LEGAL.get(state.value, set()))


def test_nothing_leaves_a_final_state() -> None:
    assert all(not TRANSITIONS[state] for state in FINAL_STATES)
    assert {JobState(state) for state in LEGAL} == LIVE_STATES


def test_a_move_must_be_legal_from_every_expected_state() -> None:
    check_transition({JobState.IN_PROGRESS, JobState.UPSCALING}, JobState.STORING)
    with pytest.raises(IllegalTransition):
        check_transition({JobState.IN_PROGRESS, JobState.QUEUED}, JobState.STORING)
