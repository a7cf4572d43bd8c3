"""The estimate is honest and never goes back."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flow2api_generation_service.videos.models import JobRow
from flow2api_generation_service.videos.progress import progress_percent, share_done
from flow2api_generation_service.videos.states import JobState

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


def job(state: JobState, *, upsampler: str | None = None, told: int = 0, complete: datetime | None = None) -> JobRow:
    return JobRow(
        video_id="video_1",
        state=state,
        progress_percent=told,
        submit_time=None if state in {JobState.QUEUED, JobState.SUBMITTING} else NOW,
        state_time=NOW,
        complete_time=complete,
        typical_duration_seconds=100,
        upscale_typical_seconds=100,
        upsampler_model=upsampler,
    )


def at(row: JobRow, seconds: float) -> int:
    return progress_percent(row, NOW + timedelta(seconds=seconds))


def test_begins_at_0_and_ends_at_100() -> None:
    assert at(job(JobState.QUEUED), 500) == 0
    assert at(job(JobState.SUBMITTING), 500) == 0
    assert at(job(JobState.COMPLETED), 0) == 100


def test_says_about_70_after_the_usual_time_and_does_not_promise_the_end() -> None:
    assert 65 <= at(job(JobState.IN_PROGRESS), 100) <= 75
    assert at(job(JobState.IN_PROGRESS), 100_000) == 90


def test_follows_what_was_learned_about_such_clips() -> None:
    quick = job(JobState.IN_PROGRESS)
    quick.duration_quantiles_ms = [19_000 + 50 * number for number in range(33)]
    assert [at(quick, seconds) for seconds in (0, 5, 10, 19)] == pytest.approx([2, 24, 46, 85], abs=2)


class TestShareDone:
    def test_is_about_even_with_time_where_durations_differ_little(self) -> None:
        quantiles = [99.0 + 0.1 * number for number in range(21)]
        assert [share_done(quantiles, age) for age in (25, 50, 99)] == pytest.approx([0.25, 0.5, 0.99], abs=0.01)

    def test_is_careful_where_they_differ_much(self) -> None:
        quantiles = [50.0, 60.0, 80.0, 120.0, 300.0]
        mean_of_later = (100.0 + 210.0) / 2
        assert share_done(quantiles, 80.0) == pytest.approx(80.0 / mean_of_later)

    @given(
        quantiles=st.lists(st.floats(0.0, 4000.0), min_size=2, max_size=40).map(sorted),
        ages=st.lists(st.floats(0.0, 5000.0), min_size=2, max_size=20).map(sorted),
    )
    def test_never_falls_and_stays_a_share(self, quantiles: list[float], ages: list[float]) -> None:
        shares = [share_done(quantiles, age) for age in ages]
        assert shares == sorted(shares)
        assert shares[0] >= 0.0
        assert shares[-1] <= 1.0


def test_what_the_upstream_tells_counts_when_it_is_more() -> None:
    assert at(job(JobState.IN_PROGRESS, told=80), 10) == 80


@given(seconds=st.lists(st.floats(0, 5000), min_size=8, max_size=8), upsampler=st.sampled_from([None, "upsampler"]))
def test_never_goes_back_over_time_and_states(seconds: list[float], upsampler: str | None) -> None:
    states = [JobState.IN_PROGRESS, *([JobState.UPSCALING] if upsampler else []), JobState.STORING, JobState.COMPLETED]
    # Each state has a clock of its own, and may be looked at twice at any times of it.
    told = [
        at(job(state, upsampler=upsampler), second)
        for number, state in enumerate(states)
        for second in sorted(seconds[2 * number : 2 * number + 2])
    ]
    assert told == sorted(told)


@given(seconds=st.floats(0, 5000))
def test_a_failed_job_stays_where_it_was(seconds: float) -> None:
    end = NOW + timedelta(seconds=seconds)
    failed = job(JobState.FAILED, complete=end)
    assert at(failed, seconds + 1000) == at(job(JobState.IN_PROGRESS), seconds)
