"""Queries on tokens, on SQLite and PostgreSQL."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from flow2api_common.errors import Conflict, NotFound
from flow2api_token_service.health.rows import health_of, store_health
from flow2api_token_service.health.states import Rest, TokenState
from flow2api_token_service.tokens.repository import TokenRepository

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


@pytest.fixture
def add(database):
    async def add_all(*rows) -> list[int]:
        async with database.transaction() as session:
            for row in rows:
                await TokenRepository(session).add(row)
        return [row.id for row in rows]

    return add_all


async def test_token_comes_back_with_stats_and_rests(database, add, token_row):
    (token_id,) = await add(token_row("a"))
    rest = Rest(NOON + HOUR, 2, "rate_limited")
    async with database.transaction() as session:
        row = await TokenRepository(session).get(token_id, lock=True)
        store_health(row, replace(health_of(row), state=TokenState.SUSPECT, consecutive_errors=3, rests={"m": rest}))

    async with database.transaction(read_only=True) as session:
        health = health_of(await TokenRepository(session).get(token_id))

    assert (health.state, health.consecutive_errors) == (TokenState.SUSPECT, 3)
    assert health.rests == {"m": rest}


async def test_rests_that_are_gone_are_removed(database, add, token_row):
    (token_id,) = await add(token_row("a"))
    for rests in ({"m": Rest(NOON, 1, "quota"), "n": Rest(NOON, 1, "quota")}, {"n": Rest(NOON + HOUR, 2, "quota")}):
        async with database.transaction() as session:
            row = await TokenRepository(session).get(token_id, lock=True)
            store_health(row, replace(health_of(row), rests=rests))

    async with database.transaction(read_only=True) as session:
        assert health_of(await TokenRepository(session).get(token_id)).rests == {"n": Rest(NOON + HOUR, 2, "quota")}


async def test_same_secret_of_a_provider_is_refused(add, token_row):
    await add(token_row("a"), token_row("a", provider="gemini"))

    with pytest.raises(Conflict):
        await add(token_row("a"))


async def test_deleted_token_takes_all_with_it_and_its_id_is_not_used_again(database, add, token_row):
    (token_id,) = await add(token_row("a"))
    async with database.transaction() as session:
        await TokenRepository(session).delete(await TokenRepository(session).get(token_id, lock=True))

    async with database.transaction(read_only=True) as session:
        with pytest.raises(NotFound):
            await TokenRepository(session).get(token_id)
    (next_id,) = await add(token_row("a"))
    assert next_id > token_id


async def test_page_filters_by_the_state_that_is_true_now(database, add, token_row):
    over = {"state": "cooling", "state_until": NOON - HOUR}
    cooling = {"state": "cooling", "state_until": NOON + HOUR}
    ids = await add(token_row("a"), token_row("b", **over), token_row("c", **cooling))

    async with database.transaction(read_only=True) as session:
        tokens = TokenRepository(session)
        active = await tokens.page(after_id=0, limit=10, state=TokenState.ACTIVE, now=NOON)
        still = await tokens.page(after_id=0, limit=10, state=TokenState.COOLING, now=NOON)
        states, sums = await tokens.totals(NOON)

    assert [row.id for row in active] == ids[:2]
    assert [row.id for row in still] == ids[2:]
    assert states == {TokenState.ACTIVE: 2, TokenState.COOLING: 1}
    assert sums.credits == 15


async def test_only_tokens_in_use_are_renewed_the_most_urgent_first(database, add, token_row):
    ids = await add(
        token_row("a", refresh_time=NOON - HOUR),
        token_row("b", refresh_time=NOON - 2 * HOUR),
        token_row("c", refresh_time=NOON + HOUR),
        token_row("d", refresh_time=None),
        token_row("e", refresh_time=NOON - HOUR, state="disabled"),
        token_row("f", refresh_time=NOON - HOUR, state="parked", state_reason="verification_required"),
    )

    async with database.transaction(read_only=True) as session:
        versions = await TokenRepository(session).versions_to_refresh(now=NOON, limit=10)

    assert [*versions] == [ids[1], ids[0]]
    assert set(versions.values()) == {0}


async def test_tokens_that_wait_for_a_look(database, add, token_row):
    parked = {"state": "parked", "state_reason": "credits", "state_time": NOON - 3 * HOUR}
    ids = await add(
        token_row("a", state="suspect", state_until=NOON),
        token_row("b", state="suspect", state_until=NOON + HOUR),
        token_row("c", **parked),
        token_row("d", **parked, credits_read_at=NOON),
        token_row("e"),
    )

    async with database.transaction(read_only=True) as session:
        found = await TokenRepository(session).ids_to_probe(now=NOON, credits_read_before=NOON - HOUR, limit=10)

    assert sorted(found) == [ids[0], ids[2]]
