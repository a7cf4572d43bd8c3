"""A migrated database, and rows for it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import SecretStr

from flow2api_common.database import Database
from flow2api_common.settings import DatabaseSettings, load_settings
from flow2api_testing.migrated import migrate_by_copy
from flow2api_token_service.migrate import migrate
from flow2api_token_service.models_base import SCHEMA
from flow2api_token_service.proxies.models import ProxyRow
from flow2api_token_service.tokens.models import TokenRow, TokenStatsRow

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)


@pytest.fixture
async def database(database_url) -> AsyncIterator[Database]:
    await migrate_by_copy(load_settings(DatabaseSettings, database_url=database_url), migrate)
    database = Database(SecretStr(database_url), schema=SCHEMA)
    yield database
    await database.aclose()


@pytest.fixture
def proxy_row() -> Callable[..., ProxyRow]:
    def build(fingerprint: str, **changes: Any) -> ProxyRow:
        fields: dict[str, Any] = {
            "sealed_url": f"sealed-{fingerprint}",
            "url_fingerprint": fingerprint,
            "scheme": "http",
            "host": "proxy.example",
            "port": 8080,
            "has_credentials": False,
            "state": "active",
            "state_time": NOON,
            "next_check_at": NOON,
            "created_at": NOON,
            "updated_at": NOON,
        }
        return ProxyRow(**{**fields, **changes})

    return build


@pytest.fixture
def token_row() -> Callable[..., TokenRow]:
    def build(fingerprint: str, **changes: Any) -> TokenRow:
        fields: dict[str, Any] = {
            "provider": "flow",
            "sealed_secret": "sealed",
            "secret_fingerprint": fingerprint,
            "masked_secret": "…",
            "is_active": True,
            "state": "active",
            "state_time": NOON,
            "image_enabled": True,
            "video_enabled": True,
            "image_concurrency": -1,
            "video_concurrency": -1,
            "created_at": NOON,
            "updated_at": NOON,
            "stats": TokenStatsRow(),
            "rests": [],
        }
        return TokenRow(**{**fields, **changes})

    return build
