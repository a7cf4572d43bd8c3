"""Proxies end to end: every kind carries pictures and clips, a dead one is replaced and comes back."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from flow2api_testing.programs import block_until, run_flow2api
from flow2api_testing.proxies import ProxyServer, ProxyThread, proxy_thread
from flow2api_testing.systems import API_KEY, System, all_in_one_system

pytestmark = pytest.mark.timeout(300)

PASSWORD = "hidden-7a1f-proxy-password"
IMAGE_MODEL = "gemini-3.1-flash-image"
QUICK = {
    "FLOW2API_PROXY_CHECK_INTERVAL": "0.5",
    "FLOW2API_PROXY_CHECK_TIMEOUT": "2",
    "FLOW2API_PROXY_FIRST_PAUSE": "0.2",
    "FLOW2API_PROXY_LONGEST_PAUSE": "0.5",
}


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("proxies")


@pytest.fixture(scope="module")
def system(directory: Path) -> Iterator[System]:
    with all_in_one_system(directory, extra_variables=QUICK, time_scale="0") as running:
        yield running


@pytest.fixture(scope="module")
def servers() -> Iterator[ProxyThread]:
    with proxy_thread() as running:
        yield running


@pytest.fixture
def admin(system: System) -> Iterator[httpx.Client]:
    """An administrator, who leaves no proxy behind."""
    with system.admin() as client:
        yield client
        for proxy in client.get("/admin/proxies").raise_for_status().json():
            client.delete(f"/admin/proxies/{proxy['id']}").raise_for_status()


@pytest.fixture
def client(system: System) -> Iterator[httpx.Client]:
    headers = {"authorization": f"Bearer {API_KEY}"}
    with httpx.Client(base_url=system.base_url, headers=headers, timeout=60, trust_env=False) as opened:
        yield opened


def add(admin: httpx.Client, server: ProxyServer) -> int:
    answer = admin.post("/admin/proxies", json={"url": server.url, "name": server.scheme})
    assert answer.status_code == 200, answer.text
    assert PASSWORD not in answer.text
    return int(answer.json()["id"])


def make_picture(client: httpx.Client) -> None:
    body = {"model": IMAGE_MODEL, "prompt": "a lighthouse", "response_format": "b64_json"}
    answer = client.post("/v1/images/generations", json=body)
    assert answer.status_code == 200, answer.text
    assert answer.json()["data"][0]["b64_json"]


def make_clip(client: httpx.Client) -> None:
    body = {"model": "veo-3.1-fast", "prompt": "waves", "size": "1280x720", "seconds": "8"}
    video = client.post("/v1/videos", json=body).raise_for_status().json()
    block_until(lambda: client.get(f"/v1/videos/{video['id']}").json()["status"] == "completed", timeout=60)


def proxy_of(admin: httpx.Client, proxy_id: int) -> dict[str, Any]:
    return dict(admin.get(f"/admin/proxies/{proxy_id}").raise_for_status().json())


def is_in_state(admin: httpx.Client, proxy_id: int, state: str) -> bool:
    return bool(proxy_of(admin, proxy_id)["state"] == state)


def kept_proxies(admin: httpx.Client) -> dict[int, int | None]:
    return {token["id"]: token["proxy_id"] for token in admin.get("/admin/tokens").raise_for_status().json()}


@pytest.mark.parametrize("login", [False, True], ids=["open", "login"])
@pytest.mark.parametrize("scheme", ["http", "socks5", "socks5h"])
def test_pictures_and_clips_go_over_the_proxy(
    system: System, admin: httpx.Client, client: httpx.Client, servers: ProxyThread, scheme: Any, login: bool
) -> None:
    server = servers.start(scheme, user="user" if login else "", password=PASSWORD if login else "")
    proxy_id = add(admin, server)
    assert admin.post(f"/admin/proxies/{proxy_id}/check").json()["passed"]
    block_until(lambda: proxy_of(admin, proxy_id)["latency_ms"] is not None)
    before = server.call_count

    make_picture(client)
    make_clip(client)

    assert server.call_count > before + 1
    assert set(server.targets) == {urlsplit(system.sandbox.urls["base_url"]).netloc}


def test_dead_proxy_is_replaced_without_a_failing_request_and_comes_back(
    system: System, admin: httpx.Client, client: httpx.Client, servers: ProxyThread
) -> None:
    first = servers.start("http", user="user", password=PASSWORD)
    first_id = add(admin, first)
    make_picture(client)
    second = servers.start("socks5", user="user", password=PASSWORD)
    second_id = add(admin, second)

    servers.stop(first)
    for _ in range(4):
        make_picture(client)
    make_clip(client)

    block_until(lambda: is_in_state(admin, first_id, "suspect"))
    shown = proxy_of(admin, first_id)
    assert shown["state_reason"]
    assert shown["consecutive_failure_count"] >= 1
    tokens = admin.get("/admin/tokens").json()
    assert {token["state"] for token in tokens} == {"active"}
    assert [token["consecutive_error_count"] for token in tokens] == [0] * len(tokens)
    assert is_in_state(admin, second_id, "active")

    servers.restart(first)
    block_until(lambda: is_in_state(admin, first_id, "active"))
    kept = kept_proxies(admin)
    make_picture(client)
    assert kept_proxies(admin) == kept


def test_without_any_that_works_requests_are_refused_and_nothing_goes_direct(
    system: System, admin: httpx.Client, client: httpx.Client, servers: ProxyThread
) -> None:
    server = servers.start("http")
    proxy_id = add(admin, server)
    servers.stop(server)
    block_until(lambda: is_in_state(admin, proxy_id, "suspect"))
    accepted = system.sandbox.submissions().get("a lighthouse", 0)

    def is_refused() -> bool:
        body = {"model": IMAGE_MODEL, "prompt": "a lighthouse"}
        answer = client.post("/v1/images/generations", json=body)
        assert answer.status_code >= 500, answer.text
        return bool(answer.status_code == 503 and answer.json()["error"]["code"] == "no_proxy_available")

    block_until(is_refused)
    assert system.sandbox.submissions().get("a lighthouse", 0) == accepted
    servers.restart(server)
    block_until(lambda: is_in_state(admin, proxy_id, "active"))
    make_picture(client)


def test_tokens_keep_their_proxies_over_a_restart(
    system: System, admin: httpx.Client, client: httpx.Client, servers: ProxyThread
) -> None:
    proxy_ids = {add(admin, servers.start("http")), add(admin, servers.start("socks5"))}
    for token in admin.get("/admin/tokens").json():
        admin.post(f"/admin/tokens/{token['id']}/refresh").raise_for_status()
    kept = kept_proxies(admin)
    assert set(kept.values()) == proxy_ids

    program = system.programs["up"]
    program.stop()
    program.start()
    system.wait_until_ready()

    make_picture(client)
    with system.admin() as again:
        assert kept_proxies(again) == kept
        admin.headers["authorization"] = again.headers["authorization"]


def test_proxies_are_managed_by_command(
    system: System, admin: httpx.Client, servers: ProxyThread, tmp_path: Path
) -> None:
    server = servers.start("socks5", user="user", password=PASSWORD)
    lines, url = tmp_path / "proxies.txt", ("--url", system.base_url)
    lines.write_text(f"# mine\n{server.url}\n\n{server.url}\nhttp://nowhere\n")

    added = run_flow2api("proxies", "add", str(lines), *url, variables=system.variables)
    listed = run_flow2api("proxies", "list", *url, variables=system.variables)
    (proxy,) = admin.get("/admin/proxies").json()
    checked = run_flow2api("proxies", "check", str(proxy["id"]), *url, variables=system.variables)
    removed = run_flow2api("proxies", "remove", str(proxy["id"]), *url, variables=system.variables)

    assert added.returncode == 1
    assert "1 added, 1 known already, 1 failed" in added.stdout
    assert f"127.0.0.1:{server.port}" in listed.stdout.replace("\n", "")
    assert checked.returncode == 0, checked.stderr
    assert "works" in checked.stdout
    assert removed.returncode == 0, removed.stderr
    assert admin.get("/admin/proxies").json() == []
    for answer in (added, listed, checked, removed):
        assert PASSWORD not in answer.stdout + answer.stderr


def test_password_is_nowhere_in_clear(
    system: System, directory: Path, admin: httpx.Client, client: httpx.Client, servers: ProxyThread
) -> None:
    server = servers.start("socks5", user="user", password=PASSWORD)
    proxy_id = add(admin, server)
    wrong = admin.post("/admin/proxies", json={"url": f"http://user:{PASSWORD}@host"})
    assert (wrong.status_code, wrong.json()["error"]["param"]) == (400, "url")
    token = admin.get("/admin/tokens").json()[0]
    owned = admin.put(f"/admin/tokens/{token['id']}", json={"proxy_url": server.url})
    assert owned.json()["proxy_url"] == f"socks5://127.0.0.1:{server.port}"
    make_picture(client)
    servers.stop(server)
    block_until(lambda: is_in_state(admin, proxy_id, "suspect"))
    answers = [wrong.text, owned.text]
    answers += [admin.get(f"/admin/{path}").text for path in ("proxies", "tokens", "audit", "logs")]
    answers.append(admin.get("/metrics").text)
    assert admin.put(f"/admin/tokens/{token['id']}", json={"proxy_url": ""}).json()["proxy_url"] is None

    kept = {"answers": "\n".join(answers).encode()}
    for root, _, names in os.walk(directory):
        kept |= {name: (Path(root) / name).read_bytes() for name in names if (Path(root) / name).is_file()}
    assert {"up.log", "tokens.db"} <= kept.keys()
    assert [name for name, content in kept.items() if PASSWORD.encode() in content] == []
