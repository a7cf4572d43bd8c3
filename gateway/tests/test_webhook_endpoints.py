"""Receivers of webhooks as the official SDK registers them, and the ledger for administrators."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import httpx
import openai
import pytest

HOOK = {"name": "hook", "url": "https://hooks.example/x", "event_types": ["video.completed"]}


class TestWithTheSdk:
    async def test_registers_reads_changes_and_removes(self, sdk: openai.AsyncOpenAI) -> None:
        made = await sdk.webhooks.create(name="hook", url="https://hooks.example/x", event_types=["video.completed"])
        assert (made.object, made.signing_secret, made.created_at) == (
            "webhook_endpoint",
            "whsec_first",
            1_767_225_600,
        )
        read = await sdk.webhooks.retrieve(made.id)
        assert (read.url, read.signing_secret_hint) == ("https://hooks.example/x", "…abcd")
        assert not hasattr(read, "signing_secret")
        changed = await sdk.webhooks.update(made.id, event_types=["video.failed"], name="other")
        assert (changed.event_types, changed.name, changed.url) == (
            ["video.failed"],
            "other",
            "https://hooks.example/x",
        )
        deleted = await sdk.webhooks.delete(made.id)
        assert (deleted.deleted, deleted.object) == (True, "webhook_endpoint.deleted")
        with pytest.raises(openai.NotFoundError) as caught:
            await sdk.webhooks.retrieve(made.id)
        assert caught.value.code == "webhook_endpoint_not_found"

    async def test_lists_over_pages(self, sdk: openai.AsyncOpenAI) -> None:
        ids = [(await sdk.webhooks.create(**HOOK)).id for _ in range(3)]
        assert [endpoint.id async for endpoint in sdk.webhooks.list(limit=2)] == ids[::-1]
        assert (await sdk.webhooks.event_types.list()).data == [
            "video.completed",
            "video.failed",
            "image_job.completed",
            "image_job.failed",
        ]

    async def test_exchanges_the_secret(self, sdk: openai.AsyncOpenAI, world: Any) -> None:
        made = await sdk.webhooks.create(**HOOK)
        rotated = await sdk.webhooks.rotate_secret(made.id)
        assert rotated.signing_secret == "whsec_second"
        await sdk.webhooks.rotate_secret(made.id, keep_old_secret_active_for_24_hours=True)
        assert world.webhooks.kept_old == [timedelta(0), timedelta(hours=24)]

    async def test_sends_a_sample(self, sdk: openai.AsyncOpenAI) -> None:
        made = await sdk.webhooks.create(**HOOK)
        result = await sdk.webhooks.test(made.id, event_type="video.completed")
        assert (result.status_code, result.success, result.webhook_endpoint_id) == (202, True, made.id)
        with pytest.raises(openai.BadRequestError) as caught:
            await sdk.webhooks.test(made.id, event_type="video.failed")
        assert caught.value.code == "webhook_not_reached"

    async def test_names_what_is_wrong(self, sdk: openai.AsyncOpenAI) -> None:
        with pytest.raises(openai.BadRequestError) as caught:
            await sdk.webhooks.create(**HOOK | {"url": "http://hooks.example/x"})
        assert caught.value.param == "url"


async def test_a_receiver_needs_all_its_fields(client: httpx.AsyncClient) -> None:
    answer = await client.post("/v1/webhook_endpoints", json={"name": "hook", "url": "https://hooks.example/x"})
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "event_types")


class TestLedger:
    async def test_lists_by_state(self, admin: httpx.AsyncClient, world: Any) -> None:
        answer = await admin.get("/admin/webhooks/deliveries", params={"state": "failed", "video_id": "video_1"})
        (delivery,) = answer.json()
        assert (delivery["id"], delivery["state"], delivery["last_duration_ms"]) == ("whd_1", "failed", 120)
        assert answer.headers["x-next-page-token"] == "older"
        (listing,) = world.webhooks.listings
        assert (listing.state, listing.video_id) == (3, "video_1")

    async def test_shows_and_replays_one(self, admin: httpx.AsyncClient) -> None:
        shown = (await admin.get("/admin/webhooks/deliveries/whd_1")).json()
        assert (shown["payload"], shown["attempts"][0]["error"]) == ("{}", "timeout")
        replayed = (await admin.post("/admin/webhooks/deliveries/whd_1/replay")).json()
        assert replayed["state"] == "pending"
        assert (await admin.get("/admin/webhooks/deliveries/other")).status_code == 404

    async def test_lists_the_receivers_of_all_keys(self, admin: httpx.AsyncClient, sdk: openai.AsyncOpenAI) -> None:
        await sdk.webhooks.create(**HOOK)
        (endpoint,) = (await admin.get("/admin/webhooks/endpoints")).json()
        assert (endpoint["api_key_id"], "signing_secret" in endpoint) == ("key_1", False)

    @pytest.mark.parametrize("query", [{"state": "odd"}, {"limit": "0"}])
    async def test_refuses_odd_queries(self, admin: httpx.AsyncClient, query: dict[str, str]) -> None:
        answer = await admin.get("/admin/webhooks/deliveries", params=query)
        assert (answer.status_code, answer.json()["error"]["param"]) == (400, next(iter(query)))

    async def test_is_for_administrators(self, client: httpx.AsyncClient) -> None:
        assert (await client.get("/admin/webhooks/deliveries")).status_code == 401
