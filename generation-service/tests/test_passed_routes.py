"""Why routes were passed by: read from the pool's answers, kept, and told; nothing of it reaches clients."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from flow2api_common.errors import CapacityError
from flow2api_generation_service.attempts.passed_route import (
    PassedRoute,
    json_to_grpc,
    passed_of_answer,
    passed_of_error,
    passed_to_json,
)
from flow2api_proto.tokens.v1 import token_pb2

LATER = datetime(2026, 11, 24, 8, tzinfo=UTC)
CANDIDATES = [
    token_pb2.LeaseCandidate(provider="vertex", upstream_model="veo-3.1"),
    token_pb2.LeaseCandidate(provider="flow", upstream_model="veo_fast"),
]


def refused(rows: Any) -> CapacityError:
    return CapacityError("busy", metadata={"passed_by": rows if isinstance(rows, str) else json.dumps(rows)})


def test_of_an_answer() -> None:
    told = token_pb2.PassedCandidate(candidate_index=0, token_counts={"busy": 2, "quota": 1}, is_nowhere=False)
    told.earliest_time.FromDatetime(LATER)
    (route,) = passed_of_answer([told], CANDIDATES, 1)
    assert route == PassedRoute("vertex", "veo-3.1", {"busy": 2, "quota": 1}, LATER)
    assert (str(route), route.words) == ("vertex/veo-3.1", "2 busy, 1 quota")
    assert passed_of_answer([], CANDIDATES, 0) == ()
    # A pool of an earlier release names no reasons.
    assert passed_of_answer([], CANDIDATES, 1) == (PassedRoute("vertex", "veo-3.1"),)


def test_of_a_refusal_it_is_taken_out() -> None:
    error = refused(
        [
            {"candidate": 0, "tokens": {"model_not_here": 2}, "until_ms": None, "nowhere": True},
            {"candidate": 1, "tokens": {}, "until_ms": 1_795_507_200_000, "nowhere": False},
        ]
    )
    assert passed_of_error(error, CANDIDATES) == (
        PassedRoute("vertex", "veo-3.1", {"model_not_here": 2}, is_nowhere=True),
        PassedRoute("flow", "veo_fast", {}, LATER),
    )
    assert error.metadata == {}


@pytest.mark.parametrize("rows", ["", "{", "[1]", [{"candidate": 7}], [{"candidate": 0, "tokens": 3}], {"a": 1}])
def test_what_is_not_understood_is_left_out(rows: Any) -> None:
    assert passed_of_error(refused(rows), CANDIDATES) == ()


def test_kept_and_told_again() -> None:
    kept = passed_to_json(
        [PassedRoute("vertex", "veo-3.1", {"busy": 2}, LATER), PassedRoute("flow", "veo_fast", {"errors": 1})]
    )
    names, routes = json_to_grpc(json.loads(json.dumps(kept)))
    assert names == ["vertex/veo-3.1", "flow/veo_fast"]
    assert [dict(route.token_counts) for route in routes] == [{"busy": 2}, {"errors": 1}]
    assert routes[0].earliest_time.ToDatetime(tzinfo=UTC) == LATER
    assert not routes[1].HasField("earliest_time")
    # Of an earlier release.
    assert json_to_grpc(["flow/veo_fast"]) == (["flow/veo_fast"], [])
