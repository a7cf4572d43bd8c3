"""The administrator's cookie: what it opens, and that no other site can use it."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import Any

import httpx
import pytest

from flow2api_gateway.app import build_app
from flow2api_gateway.auth.session_cookie import COOKIE
from flow2api_gateway.composition import build_gateway
from flow2api_testing.gateway_peers.content import SESSION

ORIGIN = {"origin": "http://gw.example"}
CREDENTIALS = {"username": "admin", "password": "right-password", "cookie": True}
KEY_BODY = {"name": "n"}


@pytest.fixture
async def browser(client: httpx.AsyncClient) -> httpx.AsyncClient:
    """A browser that is logged in; its page has not yet done anything with the token."""
    del client.headers["authorization"]
    answer = await client.post("/admin/login", json=CREDENTIALS, headers=ORIGIN)
    assert answer.is_success, answer.text
    return client


async def csrf(browser: httpx.AsyncClient) -> dict[str, str]:
    """What a page of ours sends along."""
    session = (await browser.get("/admin/session")).raise_for_status().json()
    return {"x-csrf-token": session["csrf_token"], **ORIGIN}


async def test_login_gives_a_cookie_that_scripts_cannot_read_and_no_bearer(client: httpx.AsyncClient) -> None:
    answer = await client.post("/admin/login", json=CREDENTIALS, headers=ORIGIN)
    cookie = answer.headers["set-cookie"]
    assert cookie.startswith(f"{COOKIE}={SESSION};")
    assert {part.strip().lower() for part in cookie.split(";")[1:]} >= {"httponly", "samesite=strict", "path=/admin"}
    assert "secure" not in cookie.lower()
    assert "token" not in answer.json()
    assert answer.json()["csrf_token"]


async def test_login_without_asking_for_it_sets_none(client: httpx.AsyncClient) -> None:
    answer = await client.post("/admin/login", json=CREDENTIALS | {"cookie": False})
    assert (answer.json()["token"], "set-cookie" in answer.headers) == (SESSION, False)


async def test_cookie_is_secure_where_the_public_url_is(world: Any) -> None:
    async with AsyncExitStack() as stack:
        gateway = await build_gateway(stack, world.settings, base_url="https://pictures.example")
        transport = httpx.ASGITransport(build_app(gateway))
        async with httpx.AsyncClient(transport=transport, base_url="http://inside:8000") as inside:
            answer = await inside.post("/admin/login", json=CREDENTIALS, headers={"origin": "https://pictures.example"})
    assert "; secure" in answer.headers["set-cookie"].lower()


async def test_page_of_ours_reads_and_changes(browser: httpx.AsyncClient) -> None:
    assert (await browser.get("/admin/tokens")).is_success
    assert (await browser.post("/admin/keys", json=KEY_BODY, headers=await csrf(browser))).is_success


@pytest.mark.parametrize(
    "changes",
    [
        {"x-csrf-token": ""},
        {"x-csrf-token": "bm8tc3VjaC10b2tlbi1hdC1hbGwtbm8tc3VjaA=="},
        {"x-csrf-token": SESSION},
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"origin": "http://gw.example.evil.example"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"sec-fetch-site": "none"},
        {"origin": None},
    ],
)
@pytest.mark.parametrize(
    ("method", "path"), [("POST", "/admin/keys"), ("DELETE", "/admin/sessions"), ("POST", "/admin/logout")]
)
async def test_other_sites_change_nothing(
    browser: httpx.AsyncClient, world: Any, method: str, path: str, changes: dict[str, str | None]
) -> None:
    headers = {name: value for name, value in (await csrf(browser) | changes).items() if value is not None}
    answer = await browser.request(method, path, json=KEY_BODY, headers=headers)
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "csrf_refused")
    assert "set-cookie" not in answer.headers
    assert not world.access.created
    assert not world.access.revocations


async def test_bearer_needs_no_token_of_a_page(client: httpx.AsyncClient) -> None:
    headers = {"authorization": f"Bearer {SESSION}", "origin": "https://elsewhere.example"}
    assert (await client.post("/admin/keys", json=KEY_BODY, headers=headers)).is_success


async def test_wrong_bearer_is_not_helped_by_a_cookie(browser: httpx.AsyncClient) -> None:
    answer = await browser.get("/admin/tokens", headers={"authorization": "Bearer wrong"})
    assert answer.status_code == 401


async def test_other_sites_log_nobody_in(client: httpx.AsyncClient) -> None:
    answer = await client.post("/admin/login", json=CREDENTIALS, headers={"origin": "https://evil.example"})
    assert (answer.status_code, "set-cookie" in answer.headers) == (403, False)


async def test_logout_takes_the_cookie_back(browser: httpx.AsyncClient) -> None:
    answer = await browser.post("/admin/logout", headers=await csrf(browser))
    assert "max-age=0" in answer.headers["set-cookie"].lower()
    assert COOKIE not in browser.cookies
    assert (await browser.get("/admin/tokens")).status_code == 401


async def test_cookie_opens_nothing_for_clients(browser: httpx.AsyncClient) -> None:
    # Also when somebody sends it there, which no browser does by its path.
    headers = {"cookie": f"{COOKIE}={SESSION}"} | await csrf(browser)
    for path in ("/v1/models", "/v1/videos", "/v1beta/models"):
        assert (await browser.get(path, headers=headers)).status_code in (401, 403)
