"""The settings in SQL, as every replica sees them: read often, changed seldom, each change written down.

Names are `setting:<name>`, `route:<provider>/<upstream model>` and `order:<public model>`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, cast

from sqlalchemy import CursorResult, delete, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from flow2api_common.clock import Clock
from flow2api_common.database import Database
from flow2api_common.errors import DependencyUnavailable
from flow2api_common.logs import get_logger
from flow2api_generation_service.runtime.models import SettingChangeRow, SettingRow
from flow2api_generation_service.upserts import insert_into

log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Kept:
    """A value that differs from its default, who has set it and when."""

    value: Any
    actor: str
    update_time: datetime


Values = Mapping[str, Kept]


class SettingStore:
    """Follows the table; ``run`` must be running. Listeners are told of every change, also of those made elsewhere."""

    def __init__(self, *, database: Database, clock: Clock, interval: timedelta) -> None:
        self._database = database
        self._clock = clock
        self._interval = interval
        self._values: Values = {}
        self._listeners: list[Callable[[Values], None]] = []
        self._reading = asyncio.Lock()

    @property
    def values(self) -> Values:
        """What differs from its default now."""
        return self._values

    def listen(self, listener: Callable[[Values], None]) -> None:
        """Call this with the values as they are, and after each change. It must not raise."""
        self._listeners.append(listener)
        listener(self._values)

    async def run(self) -> None:
        """Look for changes until cancelled; a database that is away leaves everything as it was last."""
        is_away = False
        while True:
            try:
                await self.read()
                is_away = False
            except DependencyUnavailable as error:
                if not is_away:
                    log.warning("settings_not_read", reason=error.reason)
                is_away = True
            await asyncio.sleep(self._interval.total_seconds())

    async def read(self) -> None:
        """See what is in the table now. Raises DependencyUnavailable."""
        async with self._reading:
            async with self._database.transaction(read_only=True) as session:
                rows = (await session.scalars(select(SettingRow).order_by(SettingRow.name))).all()
            values = {row.name: Kept(row.value, row.actor, row.update_time) for row in rows}
            if values == self._values:
                return
            self._values = values
        log.info("settings_changed", names=sorted(values))
        for listener in self._listeners:
            listener(values)

    async def change(self, name: str, value: Any, *, actor: str, only_if_unset: bool = False) -> bool:
        """Keep a value, or with None the default from now on, and write the change down; tells whether it was one.

        Raises DependencyUnavailable; then nothing is kept.
        """
        async with self._database.transaction() as session:
            if not await self._change(session, name, value, actor=actor, only_if_unset=only_if_unset):
                return False
        log.info("setting_changed", name=name, actor=actor)
        await self.read()
        return True

    async def take_back(self, name: str, seen: Kept, *, actor: str) -> bool:
        """Keep the default from now on, unless somebody has changed the value since it was seen; tells whether it did.

        Raises DependencyUnavailable; then nothing is kept.
        """
        async with self._database.transaction() as session:
            statement = select(SettingRow).where(SettingRow.name == name).with_for_update()
            row = await session.scalar(statement)
            if row is None or (row.value, row.actor, row.update_time) != (seen.value, seen.actor, seen.update_time):
                return False
            await self._change(session, name, None, actor=actor)
        log.info("setting_changed", name=name, actor=actor)
        await self.read()
        return True

    async def change_all(self, values: Mapping[str, Any], *, actor: str) -> None:
        """The same for several, in one transaction. Raises DependencyUnavailable; then none of them is kept."""
        async with self._database.transaction() as session:
            # In one order, so that two of these never wait for each other.
            changed = [name for name in sorted(values) if await self._change(session, name, values[name], actor=actor)]
        for name in changed:
            log.info("setting_changed", name=name, actor=actor)
        await self.read()

    async def _change(
        self, session: AsyncSession, name: str, value: Any, *, actor: str, only_if_unset: bool = False
    ) -> bool:
        before, now = None, self._clock()
        new = {"value": value, "actor": actor, "update_time": now}
        if value is None or not await self._insert(session, name, new):
            statement = select(SettingRow.value).where(SettingRow.name == name).with_for_update()
            before = await session.scalar(statement)
            if only_if_unset or before == value:
                return False
            if value is None:
                await session.execute(delete(SettingRow).where(SettingRow.name == name))
            else:
                await session.execute(update(SettingRow).where(SettingRow.name == name).values(**new))
        session.add(SettingChangeRow(name=name, actor=actor, before=before, after=value, create_time=now))
        return True

    async def _insert(self, session: AsyncSession, name: str, new: Mapping[str, Any]) -> bool:
        # Waits for another one that inserts the same, so that only one of them does.
        insert = insert_into(session, SettingRow).values(name=name, **new).on_conflict_do_nothing()
        return cast("CursorResult[Any]", await session.execute(insert)).rowcount == 1

    async def changes(self, *, before_id: int | None, limit: int) -> Sequence[SettingChangeRow]:
        """Changes, newest first, from the one before ``before_id``. Raises DependencyUnavailable."""
        statement = select(SettingChangeRow).order_by(SettingChangeRow.change_id.desc()).limit(limit)
        if before_id is not None:
            statement = statement.where(SettingChangeRow.change_id < before_id)
        async with self._database.transaction(read_only=True) as session:
            return (await session.scalars(statement)).all()
