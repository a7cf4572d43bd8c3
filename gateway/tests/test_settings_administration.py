"""Settings and routes over HTTP."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from flow2api_proto.access.v1.access_service_pb2 import AuditEntry
from flow2api_proto.generation.v1.settings_service_pb2 import SettingChange


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


async def test_what_is_refused_together_changes_nothing(admin: httpx.AsyncClient, world: Any) -> None:
    refused = await admin.put("/admin/settings", json={"media_retention": True, "other": 1})
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "media_retention")
    assert world.live_settings.actors == []
    too_many = await admin.put("/admin/settings", json={f"name_{number}": 1 for number in range(51)})
    assert (too_many.status_code, "At most 50" in too_many.json()["error"]["message"]) == (400, True)


@pytest.mark.parametrize("limit", [1, 2, 3, 4, 100])
async def test_the_audit_log_tells_changes_of_settings_in_between(
    admin: httpx.AsyncClient, world: Any, limit: int
) -> None:
    def at(second: int) -> Timestamp:
        return Timestamp(seconds=second)

    world.access.audit = [
        AuditEntry(entry_id=9, action="token.create", actor="admin:a", outcome="ok", create_time=at(90)),
        AuditEntry(entry_id=4, action="token.delete", actor="admin:b", outcome="ok", create_time=at(40)),
        AuditEntry(entry_id=3, action="login", actor="admin:b", outcome="ok", create_time=at(30)),
    ]
    world.live_settings.changes = [
        SettingChange(change_id=2, name="route:vertex/veo", actor="upstream", after_json="{}", create_time=at(50)),
        SettingChange(
            change_id=1, name="setting:media_retention", actor="admin:a", after_json="30", create_time=at(40)
        ),
    ]
    entries: list[dict[str, Any]] = []
    token = ""
    while True:
        answer = await admin.get("/admin/audit", params={"limit": limit, "page_token": token})
        assert len(answer.json()) <= limit
        entries += answer.json()
        token = answer.headers.get("x-next-page-token", "")
        if not token:
            break
    actions = [entry["action"] for entry in entries]
    assert actions == ["token.create", "route.switch", "token.delete", "setting.update", "login"]
    assert (entries[3]["target"], entries[3]["detail"], entries[3]["actor"]) == (
        "media_retention",
        "default -> 30",
        "admin:a",
    )
    assert len({entry["id"] for entry in entries}) == len(entries)


async def test_a_page_of_the_audit_log_that_was_never_given_out_is_refused(admin: httpx.AsyncClient) -> None:
    answer = await admin.get("/admin/audit", params={"page_token": "x"})
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "page_token")


async def test_changes_are_listed(admin: httpx.AsyncClient) -> None:
    answer = await admin.get("/admin/settings/changes")
    (change,) = answer.json()
    assert (change["name"], change["changed_by"], change["before"], change["after"]) == (
        "setting:media_retention",
        "admin:a",
        None,
        30,
    )
    assert "x-next-page-token" not in answer.headers
