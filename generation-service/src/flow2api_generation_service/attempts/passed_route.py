"""Routes that were passed by, and why: as the pool tells it, as it is kept, and as it is answered."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from flow2api_common.errors import Flow2APIError
from flow2api_proto.generation.v1 import attempt_pb2
from flow2api_proto.tokens.v1 import token_pb2

_METADATA_KEY: Final = "passed_by"


@dataclass(frozen=True, slots=True)
class PassedRoute:
    """A route that had no account free. ``accounts`` are counts by reason, in the words of `PassedCandidate`.

    ``is_nowhere``: the model is not there wherever its accounts work.
    """

    provider: str
    upstream_model: str
    accounts: Mapping[str, int] = field(default_factory=dict)
    earliest: datetime | None = None
    is_nowhere: bool = False

    def __str__(self) -> str:
        """`provider/upstream_model`."""
        return f"{self.provider}/{self.upstream_model}"

    @property
    def words(self) -> str:
        """Such as `2 busy, 1 quota`, for logs."""
        return ", ".join(f"{count} {reason}" for reason, count in sorted(self.accounts.items()))


def passed_of_answer(
    passed: Sequence[token_pb2.PassedCandidate], candidates: Sequence[token_pb2.LeaseCandidate], served: int
) -> tuple[PassedRoute, ...]:
    """The candidates before the one that was served, with why. A pool of another release may not tell."""
    told = {each.candidate_index: each for each in passed}
    routes: list[PassedRoute] = []
    for index, candidate in enumerate(candidates[:served]):
        each = told.get(index, token_pb2.PassedCandidate())
        earliest = each.earliest_time.ToDatetime(tzinfo=UTC) if each.HasField("earliest_time") else None
        routes.append(_route(candidate, each.token_counts, earliest, is_nowhere=each.is_nowhere))
    return tuple(routes)


def passed_of_error(error: Flow2APIError, candidates: Sequence[token_pb2.LeaseCandidate]) -> tuple[PassedRoute, ...]:
    """The same of a refusal, whose metadata tells it; it is taken out there, as clients are not told."""
    text = error.metadata.pop(_METADATA_KEY, "")
    try:
        return tuple(
            _route(
                candidates[int(row["candidate"])],
                {str(reason): int(count) for reason, count in row["tokens"].items()},
                datetime.fromtimestamp(row["until_ms"] / 1000, UTC) if row["until_ms"] else None,
                is_nowhere=row["nowhere"] is True,
            )
            for row in (json.loads(text) if text else ())
        )
    except (ValueError, KeyError, IndexError, TypeError, AttributeError):
        # Of another release: it is only words.
        return ()


def passed_to_json(passed: Sequence[PassedRoute]) -> list[Any]:
    """What is kept of an attempt."""
    return [
        {
            "route": str(route),
            "accounts": dict(route.accounts),
            "until": None if route.earliest is None else route.earliest.isoformat(),
        }
        for route in passed
    ]


def json_to_grpc(rows: Sequence[Any]) -> tuple[list[str], list[attempt_pb2.PassedRoute]]:
    """The names of the routes that were kept, and why; earlier releases kept the names alone."""
    names = [row if isinstance(row, str) else str(row["route"]) for row in rows]
    routes: list[attempt_pb2.PassedRoute] = []
    for row in rows:
        if isinstance(row, str):
            continue
        message = attempt_pb2.PassedRoute(route=row["route"], token_counts=row["accounts"])
        if row["until"]:
            message.earliest_time.FromDatetime(datetime.fromisoformat(row["until"]))
        routes.append(message)
    return names, routes


def _route(
    candidate: token_pb2.LeaseCandidate, accounts: Mapping[str, int], earliest: datetime | None, *, is_nowhere: bool
) -> PassedRoute:
    return PassedRoute(candidate.provider, candidate.upstream_model, dict(accounts), earliest, is_nowhere)
