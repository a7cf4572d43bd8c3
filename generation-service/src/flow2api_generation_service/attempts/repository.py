"""The queries of attempts."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import delete, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased

from flow2api_generation_service.attempts.models import AttemptRow
from flow2api_generation_service.attempts.outcomes import ACCEPTED, AttemptResult
from flow2api_generation_service.attempts.past import NewAttempt, PastAttempt
from flow2api_generation_service.upserts import insert_into

LARGEST_LISTING: Final = 500


_UNDER_WAY: Final = AttemptResult("")


class AttemptRepository:
    """Reads and writes attempts within one session; never commits."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def begin(self, attempt: NewAttempt, *, now: datetime) -> None:
        """Note a new attempt, which is under way."""
        await self._add(attempt, 1, now)

    async def add_past(self, attempts: Sequence[PastAttempt], *, now: datetime) -> None:
        """Store attempts that are over. A repeat changes nothing."""
        if not attempts:
            return
        rows = [
            _values(each.where, each.try_number, each.start_time, each.result, each.end_time or now)
            for each in attempts
        ]
        await self._session.execute(insert_into(self._session, AttemptRow).values(rows).on_conflict_do_nothing())

    async def again(self, attempt_id: str, result: AttemptResult, *, now: datetime) -> None:
        """Note that it did not work, and is repeated on the same account. Nothing happens when it has ended."""
        statement = select(AttemptRow).where(AttemptRow.attempt_id == attempt_id, AttemptRow.end_time.is_(None))
        row = await self._session.scalar(statement)
        if row is None:
            return
        await self.end(attempt_id, result, now=now)
        same = NewAttempt(
            attempt_id=attempt_id,
            generation_id=row.generation_id,
            line=row.line,
            provider=row.provider,
            upstream_model=row.upstream_model,
            token_id=row.token_id,
            location=row.location,
            passed_by=row.passed_by,
        )
        await self._add(same, row.try_number + 1, now)

    async def end(self, attempt_id: str, result: AttemptResult, *, now: datetime) -> None:
        """Note what came of an attempt that is under way."""
        await self._session.execute(
            update(AttemptRow)
            .where(AttemptRow.attempt_id == attempt_id, AttemptRow.end_time.is_(None))
            .values(outcome=result.outcome, reason=result.reason, next_step=result.next_step.value, end_time=now)
            .execution_options(synchronize_session=False)
        )

    async def end_all(self, generation_id: str, result: AttemptResult, *, now: datetime) -> None:
        """Note it of every attempt of a generation that is under way."""
        await self._session.execute(
            update(AttemptRow)
            .where(AttemptRow.generation_id == generation_id, AttemptRow.end_time.is_(None))
            .values(outcome=result.outcome, reason=result.reason, next_step=result.next_step.value, end_time=now)
            .execution_options(synchronize_session=False)
        )

    async def accepted(self, attempt_id: str, *, now: datetime) -> None:
        """Note that the upstream has taken the last try, also when it was given up meanwhile."""
        tries = aliased(AttemptRow)
        last = select(func.max(tries.try_number)).where(tries.attempt_id == attempt_id).scalar_subquery()
        await self._session.execute(
            update(AttemptRow)
            .where(AttemptRow.attempt_id == attempt_id, AttemptRow.try_number == last)
            .values(outcome=ACCEPTED, reason="", next_step="", end_time=now)
            .execution_options(synchronize_session=False)
        )

    async def of_generation(self, generation_id: str) -> Sequence[AttemptRow]:
        """The attempts of a generation in the order in which they were made; of very many the first."""
        statement = (
            select(AttemptRow)
            .where(AttemptRow.generation_id == generation_id)
            .order_by(AttemptRow.start_time, AttemptRow.attempt_id, AttemptRow.try_number)
            .limit(LARGEST_LISTING)
        )
        return (await self._session.scalars(statement)).all()

    async def delete_before(self, time: datetime) -> None:
        """Remove those that began earlier."""
        await self._session.execute(delete(AttemptRow).where(AttemptRow.start_time < time))

    async def _add(self, attempt: NewAttempt, try_number: int, now: datetime) -> None:
        await self._session.execute(insert(AttemptRow).values(**_values(attempt, try_number, now)))


def _values(
    attempt: NewAttempt,
    try_number: int,
    start_time: datetime,
    result: AttemptResult = _UNDER_WAY,
    end_time: datetime | None = None,
) -> dict[str, Any]:
    return {
        "attempt_id": attempt.attempt_id,
        "try_number": try_number,
        "generation_id": attempt.generation_id,
        "line": attempt.line,
        "provider": attempt.provider,
        "upstream_model": attempt.upstream_model,
        "token_id": attempt.token_id,
        "location": attempt.location,
        "passed_by": list(attempt.passed_by),
        "outcome": result.outcome,
        "reason": result.reason,
        "next_step": result.next_step.value,
        "start_time": start_time,
        "end_time": end_time,
    }
