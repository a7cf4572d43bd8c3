"""Brings the schema ``tokens`` to the newest revision."""

from __future__ import annotations

from flow2api_common import migrations
from flow2api_common.settings import DatabaseSettings
from flow2api_token_service.models_base import SCHEMA

SCRIPT_LOCATION = "flow2api_token_service:migrations"


async def migrate(settings: DatabaseSettings) -> None:
    """Create or upgrade the tables. Safe to repeat and to call from many processes. Raises DependencyUnavailable."""
    await migrations.migrate(settings.database_url, schema=SCHEMA, script_location=SCRIPT_LOCATION)
