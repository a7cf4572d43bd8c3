"""Proxies over HTTP."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

URL = "socks5://user:hidden-password@[::1]:1080"


async def test_a_proxys_life(admin: httpx.AsyncClient, world: Any) -> None:
    added = await admin.post("/admin/proxies", json={"url": URL, "name": "home", "remark": "cellar"})
    shown = added.json()
    assert (shown["id"], shown["url"], shown["name"], shown["remark"]) == (1, "socks5://…@[::1]:1080", "home", "cellar")
    assert (shown["enabled"], shown["state"], shown["latency_ms"], shown["token_count"]) == (True, "active", 25, 3)
    assert world.proxies.urls == {1: URL}
    changed = await admin.put("/admin/proxies/1", json={"name": "work", "url": f"{URL}1", "enabled": False})
    assert (changed.json()["name"], changed.json()["remark"], changed.json()["enabled"]) == ("work", "cellar", False)
    assert world.proxies.urls == {1: f"{URL}1"}
    assert (await admin.post("/admin/proxies/1/enable")).json()["enabled"] is True
    assert (await admin.post("/admin/proxies/1/disable")).json()["enabled"] is False
    assert (await admin.post("/admin/proxies/1/check")).json()["passed"] is True
    listed = await admin.get("/admin/proxies")
    assert [proxy["id"] for proxy in listed.json()] == [1]
    assert "hidden-password" not in added.text + changed.text + listed.text
    assert (await admin.delete("/admin/proxies/1")).json() == {"success": True, "id": 1, "deleted": True}
    gone = await admin.get("/admin/proxies/1")
    assert (gone.status_code, gone.json()["error"]["code"]) == (404, "proxy_not_found")


@pytest.mark.parametrize("proxy_id", ["x", "-1", "1" * 30])
async def test_what_is_no_id_is_not_found(admin: httpx.AsyncClient, proxy_id: str) -> None:
    assert (await admin.get(f"/admin/proxies/{proxy_id}")).status_code == 404


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, "url"),
        ({"url": 7}, "url"),
        ({"url": "ftp://user:hidden-password@h:1"}, "url"),
        ({"url": URL, "name": 1}, "name"),
    ],
)
async def test_a_wrong_proxy_names_its_field_and_shows_no_password(
    admin: httpx.AsyncClient, body: dict[str, Any], param: str
) -> None:
    answer = await admin.post("/admin/proxies", json=body)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, param)
    assert "hidden-password" not in answer.text


async def test_the_same_proxy_twice_is_a_conflict(admin: httpx.AsyncClient) -> None:
    await admin.post("/admin/proxies", json={"url": URL})
    again = await admin.post("/admin/proxies", json={"url": URL})
    assert (again.status_code, again.json()["error"]["code"]) == (409, "already_exists")


async def test_an_empty_change_is_refused(admin: httpx.AsyncClient) -> None:
    await admin.post("/admin/proxies", json={"url": URL})
    assert (await admin.put("/admin/proxies/1", json={})).status_code == 400


async def test_many_are_added_with_one_address_a_line(admin: httpx.AsyncClient, world: Any) -> None:
    lines = f"# mine\n{URL}\n\n  socks5://other:1  \nnonsense\n"
    answer = await admin.post("/admin/proxies/import", content=lines, headers={"content-type": "text/plain"})
    assert [result["status"] for result in answer.json()["results"]] == ["added", "added", "failed"]
    assert (answer.json()["added"], answer.json()["failed"], answer.json()["success"]) == (2, 1, False)
    assert list(world.proxies.urls.values()) == [URL, "socks5://other:1"]


async def test_many_are_added_as_json(admin: httpx.AsyncClient) -> None:
    answer = await admin.post("/admin/proxies/import", json={"urls": [URL]})
    assert answer.json()["results"] == [{"status": "added", "id": 1, "reason": None, "message": None}]


@pytest.mark.parametrize("body", [{"urls": []}, {"urls": "x"}, {}, {"urls": [URL] * 1001}])
async def test_an_import_of_none_or_too_many_is_refused(admin: httpx.AsyncClient, body: dict[str, Any]) -> None:
    answer = await admin.post("/admin/proxies/import", json=body)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "urls")
