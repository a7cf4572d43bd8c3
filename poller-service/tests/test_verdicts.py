"""What one answer of the upstream means for one job."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any, cast

import pytest

from flow2api_poller_service.carry import Carried
from flow2api_poller_service.look import Look
from flow2api_poller_service.look_rule import LookCosts
from flow2api_poller_service.schedule import Schedule
from flow2api_poller_service.verdicts import End, Ready, Wait, judge, unanswered
from flow2api_proto.events.v1 import video_events_pb2
from flow2api_proto.tokens.v1 import token_pb2
from flow2api_upstream.port import (
    FailureClass,
    MediaHandle,
    OperationHandle,
    OperationState,
    OperationStatus,
    UpstreamFailure,
    UsageCount,
)

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
DELAY = timedelta(seconds=6)
SCHEDULE = Schedule(costs=LookCosts(look=1.0, shortest=1.0, longest=120.0), fixed=DELAY)
NOTHING = Carried()


def look(carried: Carried = NOTHING, *, deadline: timedelta = timedelta(minutes=15)) -> Look:
    message = video_events_pb2.PollVideo(video_id="video_1", operation_handle="op")
    message.submit_time.FromDatetime(NOW)
    message.deadline_time.FromDatetime(NOW + deadline)
    return Look(cast("Any", SimpleNamespace()), message, carried)


def status(state: OperationState, **fields: Any) -> OperationStatus:
    return OperationStatus(OperationHandle("op"), state, **fields)


@pytest.mark.parametrize("state", [OperationState.PENDING, OperationState.ACTIVE])
def test_waits_while_it_runs(state: OperationState) -> None:
    assert judge(look(), status(state), now=NOW, schedule=SCHEDULE) == Wait(DELAY, Carried())


def test_is_ready_even_after_the_deadline() -> None:
    answer = status(OperationState.SUCCEEDED, media=MediaHandle("m"))
    assert judge(look(deadline=-DELAY), answer, now=NOW, schedule=SCHEDULE) == Ready(MediaHandle("m"))


def test_what_the_upstream_has_counted_goes_with_the_clip() -> None:
    answer = status(OperationState.SUCCEEDED, media=MediaHandle("m"), usage=UsageCount(7, output_tokens=46_336))
    verdict = judge(look(), answer, now=NOW, schedule=SCHEDULE)
    assert isinstance(verdict, Ready)
    assert verdict.usage == UsageCount(7, output_tokens=46_336)


@pytest.mark.parametrize("state", [OperationState.PENDING, OperationState.ACTIVE, OperationState.MISSING])
def test_expires_at_the_deadline(state: OperationState) -> None:
    verdict = judge(look(deadline=timedelta(0)), status(state), now=NOW, schedule=SCHEDULE)
    assert isinstance(verdict, End)
    assert verdict.failed.kind == video_events_pb2.VIDEO_FAILURE_KIND_EXPIRED


def test_missing_is_counted_and_the_third_in_a_row_fails() -> None:
    carried = Carried()
    for count in (1, 2):
        verdict = judge(look(carried), status(OperationState.MISSING), now=NOW, schedule=SCHEDULE)
        assert isinstance(verdict, Wait)
        assert verdict.carried.missing_count == count
        carried = verdict.carried
    assert isinstance(judge(look(carried), status(OperationState.MISSING), now=NOW, schedule=SCHEDULE), End)


def test_missing_is_forgotten_when_it_is_there_again() -> None:
    verdict = judge(look(Carried(missing_count=2)), status(OperationState.ACTIVE), now=NOW, schedule=SCHEDULE)
    assert verdict == Wait(DELAY, Carried())


@pytest.mark.parametrize(
    ("failure_class", "kind", "code", "outcome"),
    [
        (
            FailureClass.CONTENT,
            video_events_pb2.VIDEO_FAILURE_KIND_FILTERED,
            "content_policy_violation",
            token_pb2.OUTCOME_CONTENT_REJECTED,
        ),
        (
            FailureClass.UPSTREAM,
            video_events_pb2.VIDEO_FAILURE_KIND_FAILED,
            "upstream_unavailable",
            token_pb2.OUTCOME_UPSTREAM_ERROR,
        ),
    ],
)
def test_a_failure_is_classified(failure_class: FailureClass, kind: Any, code: str, outcome: Any) -> None:
    answer = status(OperationState.FAILED, failure=UpstreamFailure(failure_class, "no"))
    verdict = judge(look(), answer, now=NOW, schedule=SCHEDULE)
    assert isinstance(verdict, End)
    assert (verdict.failed.kind, verdict.failed.code, verdict.failed.refunded) == (kind, code, True)
    assert verdict.outcome.outcome == outcome


def test_an_upstream_that_does_not_answer_fails_nothing_before_the_deadline() -> None:
    verdict = unanswered(look(Carried(missing_count=1)), now=NOW, delay=DELAY)
    # From then on the looks do not tell any more how long it took.
    assert verdict == Wait(DELAY, Carried(missing_count=1, is_irregular=True))
    assert isinstance(unanswered(look(deadline=timedelta(0)), now=NOW, delay=DELAY), End)
