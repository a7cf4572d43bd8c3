"""The attempts of one generation, for administrators."""

from __future__ import annotations

from flow2api_common.database import Database
from flow2api_generation_service.attempts.models import AttemptRow
from flow2api_generation_service.attempts.passed_route import json_to_grpc
from flow2api_generation_service.attempts.repository import AttemptRepository
from flow2api_proto.generation.v1 import attempt_pb2


class AttemptListing:
    """Reads attempts."""

    def __init__(self, *, database: Database) -> None:
        self._database = database

    async def of_generation(self, generation_id: str) -> attempt_pb2.ListAttemptsResponse:
        """In the order in which they were made; none for a generation that is not known, or whose log has expired."""
        async with self._database.transaction(read_only=True) as session:
            rows = await AttemptRepository(session).of_generation(generation_id)
        return attempt_pb2.ListAttemptsResponse(attempts=map(_to_grpc, rows))


def _to_grpc(row: AttemptRow) -> attempt_pb2.Attempt:
    names, routes = json_to_grpc(row.passed_by)
    attempt = attempt_pb2.Attempt(
        line=row.line,
        provider=row.provider,
        upstream_model=row.upstream_model,
        token_id=row.token_id,
        location=row.location,
        passed_by=names,
        passed_routes=routes,
        outcome=row.outcome,
        reason=row.reason,
        next_step=row.next_step,
    )
    attempt.start_time.FromDatetime(row.start_time)
    if row.end_time is not None:
        attempt.end_time.FromDatetime(row.end_time)
    return attempt
