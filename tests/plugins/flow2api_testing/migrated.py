"""Migrated SQLite databases without running all migrations for each test: the first one of a process is copied."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

from sqlalchemy.engine import make_url

from flow2api_common.settings import DatabaseSettings

Migrate = Callable[[DatabaseSettings], Awaitable[None]]

_folder: Final = tempfile.TemporaryDirectory(prefix="flow2api-test-migrated-")


async def migrate_by_copy(settings: DatabaseSettings, migrate: Migrate) -> None:
    """Do what ``migrate(settings)`` does; a SQLite file that does not exist yet becomes a copy of one that it made."""
    url = make_url(settings.database_url.get_secret_value())
    target = Path(url.database or "")
    made = Path(_folder.name) / f"{migrate.__module__}.db"
    if url.get_backend_name() != "sqlite" or _existing(target):
        await migrate(settings)
    elif not _existing(made):
        await migrate(settings)
        # Nobody has it open any more: nothing of it may be left in a log beside it.
        assert not _existing(target.with_name(f"{target.name}-wal"))
        shutil.copyfile(target, made)
    else:
        shutil.copyfile(made, target)


def _existing(*paths: Path) -> list[Path]:
    return [path for path in paths if path.exists()]
