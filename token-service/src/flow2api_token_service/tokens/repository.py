"""Queries on tokens. Rows come with their stats and rests; nothing commits here."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, func, or_, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import joinedload, selectinload

from flow2api_common.errors import Conflict, NotFound
from flow2api_token_service.health.models import TokenEventRow
from flow2api_token_service.health.states import StateReason, TokenState
from flow2api_token_service.stats.counters import Counters
from flow2api_token_service.tokens.models import ProjectRow, TokenRestRow, TokenRow, TokenStatsRow

SECRET_IN_POOL = "This secret is in the pool already."  # noqa: S105 - a sentence


def token_not_found(token_id: int) -> NotFound:
    """No such token."""
    return NotFound(f"There is no token {token_id}.", reason="TOKEN_NOT_FOUND")


class TokenRepository:
    """The tokens, through one session."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def add(self, row: TokenRow) -> None:
        """Insert a token with its stats; gives the row its id. Raises Conflict when the secret is in the pool."""
        self._session.add(row)
        await self.flush_unique()

    async def flush_unique(self) -> None:
        """Write a changed secret. Raises Conflict when it is in the pool."""
        try:
            await self._session.flush()
        except IntegrityError as exc:
            raise Conflict(SECRET_IN_POOL, reason="TOKEN_EXISTS") from exc

    async def get(self, token_id: int, *, lock: bool = False) -> TokenRow:
        """One token, with its projects, too. Raises NotFound.

        With ``lock`` nobody else changes it before the end of the transaction.
        """
        # One statement for all: a token has few rests and projects, and this is read with every refresh.
        whole = (joinedload(TokenRow.stats), joinedload(TokenRow.rests), joinedload(TokenRow.projects))
        statement = select(TokenRow).options(*whole).where(TokenRow.id == token_id)
        if lock:
            statement = statement.with_for_update(of=TokenRow)
        row = (await self._session.execute(statement)).unique().scalar_one_or_none()
        if row is None:
            raise token_not_found(token_id)
        return row

    async def lock_many(self, token_ids: Sequence[int]) -> Sequence[TokenRow]:
        """Those of the tokens that exist, by ascending id; nobody else changes them before the end."""
        statement = _whole().where(TokenRow.id.in_(token_ids)).order_by(TokenRow.id).with_for_update(of=TokenRow)
        return (await self._session.execute(statement)).scalars().all()

    async def delete(self, row: TokenRow) -> None:
        """Remove a token and all that belongs to it."""
        await self._session.delete(row)
        await self._session.flush()

    async def find_by_fingerprint(self, provider: str, fingerprint: str) -> int | None:
        """The id of the token with this secret: the one that was given, or the one that the upstream has made of it."""
        is_known = or_(TokenRow.secret_fingerprint == fingerprint, TokenRow.rotated_fingerprint == fingerprint)
        statement = select(TokenRow.id).where(TokenRow.provider == provider, is_known).order_by(TokenRow.id).limit(1)
        return (await self._session.execute(statement)).scalar_one_or_none()

    async def ids_of_project(self, provider: str, project_id: str, location: str, *, other_than: int) -> Sequence[int]:
        """Tokens of a project in a location, by ascending id."""
        statement = select(TokenRow.id).where(
            TokenRow.provider == provider,
            TokenRow.project_id == project_id,
            TokenRow.location == location,
            TokenRow.id != other_than,
        )
        return (await self._session.execute(statement.order_by(TokenRow.id))).scalars().all()

    async def ids_without_model(self, provider: str, upstream_model: str) -> Sequence[int]:
        """Tokens that rest because their location has not got a model, by ascending id."""
        statement = (
            select(TokenRow.id)
            .join(TokenRestRow, TokenRestRow.token_id == TokenRow.id)
            .where(
                TokenRow.provider == provider,
                TokenRestRow.upstream_model == upstream_model,
                TokenRestRow.reason == StateReason.MODEL_NOT_HERE,
            )
        )
        return (await self._session.execute(statement.order_by(TokenRow.id))).scalars().all()

    async def has_new(self, provider: str, since: datetime, *, causes: Sequence[str]) -> bool:
        """Whether a token of the provider has become active since a time for one of these causes."""
        statement = (
            select(TokenEventRow.id)
            .join(TokenRow, TokenRow.id == TokenEventRow.token_id)
            .where(
                TokenEventRow.event_time > since,
                TokenEventRow.cause.in_(causes),
                TokenEventRow.upstream_model == "",
                TokenEventRow.state_after == TokenState.ACTIVE,
                TokenRow.provider == provider,
            )
            .limit(1)
        )
        return (await self._session.execute(statement)).scalar_one_or_none() is not None

    async def page(
        self, *, after_id: int, limit: int, provider: str = "", state: TokenState | None = None, now: datetime
    ) -> Sequence[TokenRow]:
        """Tokens by ascending id, from the one after ``after_id``."""
        statement = _whole().where(TokenRow.id > after_id, *_matching(provider, state, now))
        return (await self._session.execute(statement.order_by(TokenRow.id).limit(limit))).scalars().all()

    async def count(self, *, provider: str = "", state: TokenState | None = None, now: datetime) -> int:
        """How many tokens match."""
        statement = select(func.count()).select_from(TokenRow).where(*_matching(provider, state, now))
        return (await self._session.execute(statement)).scalar_one()

    async def changed_since(self, time: datetime, *, limit: int, after_id: int) -> Sequence[TokenRow]:
        """Tokens that were changed since a time, by ascending id."""
        statement = _whole().where(TokenRow.updated_at >= time, TokenRow.id > after_id)
        return (await self._session.execute(statement.order_by(TokenRow.id).limit(limit))).scalars().all()

    async def versions_to_refresh(self, *, now: datetime, limit: int) -> dict[int, int]:
        """Tokens in use whose access token is to be renewed, the most urgent first, with their credential versions."""
        statement = (
            select(TokenRow.id, TokenRow.credential_version)
            .where(
                TokenRow.state.in_([TokenState.ACTIVE, TokenState.COOLING, TokenState.PARKED]),
                TokenRow.state_reason != StateReason.VERIFICATION,
                TokenRow.refresh_time <= now,
            )
            .order_by(TokenRow.refresh_time, TokenRow.id)
            .limit(limit)
        )
        return {row.id: row.credential_version for row in await self._session.execute(statement)}

    async def ids_to_probe(self, *, now: datetime, credits_read_before: datetime, limit: int) -> Sequence[int]:
        """Suspect tokens whose pause is over, and tokens parked for credits that were not looked at lately."""
        suspect = and_(TokenRow.state == TokenState.SUSPECT, TokenRow.state_until <= now)
        poor = and_(
            TokenRow.state == TokenState.PARKED,
            TokenRow.state_reason == StateReason.CREDITS,
            TokenRow.state_time < credits_read_before,
            or_(TokenRow.credits_read_at.is_(None), TokenRow.credits_read_at < credits_read_before),
        )
        statement = select(TokenRow.id).where(or_(suspect, poor)).order_by(TokenRow.state_until).limit(limit)
        return (await self._session.execute(statement)).scalars().all()

    async def ids_of_old_credits(self, *, providers: Sequence[str], read_before: datetime, limit: int) -> Sequence[int]:
        """Tokens in use whose credits were not asked for since a time, the longest first."""
        statement = (
            select(TokenRow.id)
            .where(
                TokenRow.provider.in_(providers),
                TokenRow.state.in_([TokenState.ACTIVE, TokenState.COOLING]),
                or_(TokenRow.credits_read_at.is_(None), TokenRow.credits_read_at < read_before),
            )
            .order_by(TokenRow.credits_read_at, TokenRow.id)
            .limit(limit)
        )
        return (await self._session.execute(statement)).scalars().all()

    async def ids_without_projects(self, *, providers: Sequence[str], wanted: int, limit: int) -> Sequence[int]:
        """Tokens in use with fewer active projects than wanted, any order."""
        project_count = (
            select(func.count())
            .select_from(ProjectRow)
            .where(ProjectRow.token_id == TokenRow.id, ProjectRow.is_active)
            .scalar_subquery()
        )
        lacks = TokenRow.project_id == "" if wanted == 1 else project_count < wanted
        in_use = TokenRow.state.in_([TokenState.ACTIVE, TokenState.COOLING])
        statement = select(TokenRow.id).where(TokenRow.provider.in_(providers), in_use, lacks).limit(limit)
        return (await self._session.execute(statement)).scalars().all()

    async def ids_of_ended_pauses(self, *, now: datetime, limit: int) -> Sequence[int]:
        """Tokens whose stored state has ended by time."""
        statement = select(TokenRow.id).where(_is_over(now)).order_by(TokenRow.state_until).limit(limit)
        return (await self._session.execute(statement)).scalars().all()

    async def totals(self, now: datetime) -> tuple[dict[TokenState, int], Counters]:
        """Tokens per state, and the sums of all counters."""
        seen = select(TokenRow.state.label("state"), _is_over(now).label("is_over")).subquery()
        counted = select(seen.c.state, seen.c.is_over, func.count()).group_by(seen.c.state, seen.c.is_over)
        rows = await self._session.execute(counted)
        states: dict[TokenState, int] = {}
        for state, is_over, count in rows:
            effective = TokenState.ACTIVE if is_over else TokenState(state)
            states[effective] = states.get(effective, 0) + count
        return states, await self._sums(now)

    async def _sums(self, now: datetime) -> Counters:
        today = TokenStatsRow.today_date == now.date()
        columns = (
            func.sum(TokenRow.use_count),
            func.sum(TokenRow.credits),
            func.sum(TokenStatsRow.image_count),
            func.sum(TokenStatsRow.video_count),
            func.sum(TokenStatsRow.success_count),
            func.sum(TokenStatsRow.error_count),
            func.sum(TokenStatsRow.today_image_count).filter(today),
            func.sum(TokenStatsRow.today_video_count).filter(today),
            func.sum(TokenStatsRow.today_error_count).filter(today),
        )
        statement = select(*columns).select_from(TokenRow).join(TokenStatsRow, TokenStatsRow.token_id == TokenRow.id)
        sums = [int(value or 0) for value in (await self._session.execute(statement)).one()]
        return Counters(
            use_count=sums[0],
            credits=sums[1],
            image_count=sums[2],
            video_count=sums[3],
            success_count=sums[4],
            error_count=sums[5],
            today_image_count=sums[6],
            today_video_count=sums[7],
            today_error_count=sums[8],
            today_date=now.date(),
        )


def _whole() -> Select[TokenRow]:
    return select(TokenRow).options(joinedload(TokenRow.stats), selectinload(TokenRow.rests))


def _is_over(now: datetime) -> ColumnElement[bool]:
    """Whether the token rests until a time that has passed: `Health.state_at` in SQL."""
    resting = TokenRow.state.in_([TokenState.COOLING, TokenState.PARKED])
    return and_(resting, TokenRow.state_until.is_not(None), TokenRow.state_until <= now)


def _matching(provider: str, state: TokenState | None, now: datetime) -> list[ColumnElement[Any]]:
    conditions: list[ColumnElement[Any]] = []
    if provider:
        conditions.append(TokenRow.provider == provider)
    if state is TokenState.ACTIVE:
        conditions.append(or_(TokenRow.state == state, _is_over(now)))
    elif state is not None:
        conditions.extend([TokenRow.state == state, ~_is_over(now)])
    return conditions
