"""The secret key is exchanged: what was sealed with the old one opens with the new one, and delivers."""

from __future__ import annotations

from typing import Any

import openai
import pytest
from pydantic import SecretStr

from flow2api_common.database import Database
from flow2api_common.sealing import RotationRefused
from flow2api_common.settings import DatabaseSettings, load_settings
from flow2api_generation_service.rotate import rotate_secret_key

JOB_SECRET = "whsec_" + "QUJDREVGR0hJSktMTU5PUFFSU1RVVldY"
NEW = SecretStr("another-secret-key-0123456789")


async def test_every_webhook_secret_is_sealed_anew(
    database_url: str,
    database: Database,
    make_deliveries: Any,
    receiver: Any,
    make_endpoint: Any,
    secret_key: SecretStr,
) -> None:
    before = make_deliveries(database)
    _, secret = await make_endpoint(receiver.url, ["video.completed"])
    await before.finish_job(url=receiver.url)
    await before.fan_out.once()
    await before.finish_job(url=receiver.url)
    await before.finish_job()
    settings = load_settings(DatabaseSettings, database_url=database_url)
    assert await rotate_secret_key(settings, old_key=secret_key, new_key=NEW) == 3
    assert await rotate_secret_key(settings, old_key=secret_key, new_key=NEW) == 0
    after = make_deliveries(database, secret_key=NEW)
    await after.round()
    assert [row.state for row in await after.rows()] == ["delivered"] * 3
    assert [verified_by(receiver, index, secret) for index in range(3)].count(True) == 1
    assert [verified_by(receiver, index, JOB_SECRET) for index in range(3)].count(True) == 2


def verified_by(receiver: Any, index: int, secret: str) -> bool:
    request = receiver.received[index]
    try:
        openai.OpenAI(api_key="unused").webhooks.verify_signature(request.body, request.headers, secret=secret)
    except openai.InvalidWebhookSignatureError:
        return False
    return True


async def test_a_key_that_never_was_is_refused_and_changes_nothing(
    database_url: str, database: Database, make_deliveries: Any, receiver: Any
) -> None:
    before = make_deliveries(database)
    await before.finish_job(url=receiver.url)
    settings = load_settings(DatabaseSettings, database_url=database_url)
    with pytest.raises(RotationRefused):
        await rotate_secret_key(settings, old_key=SecretStr("never-was-a-key-0123456789"), new_key=NEW)
    await before.round()
    assert (await before.row()).state == "delivered"


async def test_what_cannot_be_opened_is_given_up_visibly(
    database: Database, make_deliveries: Any, receiver: Any
) -> None:
    before = make_deliveries(database)
    await before.finish_job(url=receiver.url)
    wrong = make_deliveries(database, secret_key=NEW)
    await wrong.round()
    row = await wrong.row()
    assert (row.state, row.last_error) == ("failed", "secret_unreadable")
    assert receiver.received == []
