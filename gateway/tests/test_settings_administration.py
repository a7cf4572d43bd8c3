"""Settings and routes over HTTP."""

from __future__ import annotations

from typing import Any

import httpx
import pytest


@pytest.mark.parametrize("path", ["/admin/settings", "/admin/routes", "/admin/settings/changes"])
async def test_the_api_key_does_not_open_them(client: httpx.AsyncClient, path: str) -> None:
    assert (await client.get(path)).status_code == 401


async def test_a_setting_is_changed_in_the_name_of_the_admin(admin: httpx.AsyncClient, world: Any) -> None:
    answer = await admin.put("/admin/settings", json={"media_retention": 30})
    (setting,) = answer.json()
    assert (setting["name"], setting["value"], setting["default"]) == ("media_retention", 30, 60)
    assert world.live_settings.actors == ["admin:admin"]
    (setting,) = (await admin.patch("/admin/settings", json={"media_retention": None})).json()
    assert setting["value"] == 60


@pytest.mark.parametrize(
    ("body", "status", "param"),
    [
        ({"media_retention": True}, 400, "media_retention"),
        ({"colour": 1}, 404, None),
        ({}, 400, None),
    ],
)
async def test_a_wrong_setting_is_named(
    admin: httpx.AsyncClient, body: dict[str, Any], status: int, param: str | None
) -> None:
    answer = await admin.put("/admin/settings", json=body)
    assert (answer.status_code, answer.json()["error"]["param"]) == (status, param)


async def test_a_route_is_switched_and_the_order_changed(admin: httpx.AsyncClient, world: Any) -> None:
    body = {
        "route": "vertex/veo",
        "enabled": False,
        "reason": "too dear",
        "model": "veo-3.1-fast",
        "order": ["flow/veo_3"],
    }
    (model,) = (await admin.put("/admin/routes", json=body)).json()
    assert model["model"] == "veo-3.1-fast"
    assert [(route["route"], route["enabled"], route["reason"]) for route in model["routes"]] == [
        ("vertex/veo", False, "too dear"),
        ("flow/veo_3", True, None),
    ]
    assert world.live_settings.orders == [["flow/veo_3"]]
    assert (await admin.get("/admin/routes")).json() == [model]


@pytest.mark.parametrize(
    ("body", "status", "param"),
    [
        ({"route": "vertex/veo"}, 400, "enabled"),
        ({"order": []}, 400, "model"),
        ({"route": "vertex/none", "enabled": True}, 404, None),
        ({"model": "veo-3.1-fast", "order": ["nowhere"]}, 400, "order"),
        ({}, 400, None),
    ],
)
async def test_a_wrong_change_of_routes_is_named(
    admin: httpx.AsyncClient, body: dict[str, Any], status: int, param: str | None
) -> None:
    answer = await admin.put("/admin/routes", json=body)
    assert (answer.status_code, answer.json()["error"]["param"]) == (status, param)


async def test_changes_are_listed(admin: httpx.AsyncClient) -> None:
    answer = await admin.get("/admin/settings/changes")
    (change,) = answer.json()
    assert (change["name"], change["changed_by"], change["before"], change["after"]) == (
        "setting:media_retention",
        "admin:a",
        None,
        30,
    )
    assert answer.headers["x-next-page-token"] == "7"
