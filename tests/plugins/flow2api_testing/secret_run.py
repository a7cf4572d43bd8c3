"""A run through the whole API that brings every kind of secret in, and the search for where they have stayed."""

from __future__ import annotations

import base64
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

import httpx

from flow2api_testing.programs import block_until
from flow2api_testing.proxies import ProxyScheme, ProxyServer, ProxyThread, proxy_thread
from flow2api_testing.systems import ADMIN_PASSWORD, API_KEY, System

SESSION, ROTATED_SESSION, DEAD_SESSION = "st-7f3a9c-of-this-test", "st-1b8e2d-that-is-rotated", "st-90cc41-of-nobody"
GEMINI_KEY = "AIza-key-4d2e77-of-this-test"
WRONG_PASSWORD = "wrong-password-of-somebody"
# Every access token of the sandbox begins like this.
ACCESS_TOKEN = "ya29."
PASSPHRASE = "end-to-end passphrase"
WEBHOOK_KEY = "of-this-run-alone-771"
WEBHOOK_SECRET = f"whsec_{base64.b64encode(WEBHOOK_KEY.encode()).decode()}"
_SHOWN = 12
_SCHEMES: tuple[ProxyScheme, ...] = ("http", "socks5", "socks5h")


PROXY_USER, PROXY_PASSWORD = "proxy-user-of-this-run", "proxy/5e81 of this run"
WRONG_PROXY_PASSWORD = "proxy-c27d-that-is-wrong"


@dataclass(slots=True)
class SecretRun:
    """What was answered where no secret belongs, and every secret that has come in or was shown."""

    answers: list[str] = field(default_factory=list)
    secrets: set[str] = field(
        default_factory=lambda: {
            *(API_KEY, ADMIN_PASSWORD, WRONG_PASSWORD, PASSPHRASE, ACCESS_TOKEN, GEMINI_KEY),
            *(SESSION, ROTATED_SESSION, DEAD_SESSION, WEBHOOK_SECRET, WEBHOOK_KEY),
            *(PROXY_USER, PROXY_PASSWORD, WRONG_PROXY_PASSWORD, f"{PROXY_USER}:{PROXY_PASSWORD}"),
        }
    )

    def keep(self, answer: httpx.Response, *, status: int = 200) -> httpx.Response:
        """The answer, which has this status and goes into the search."""
        assert answer.status_code == status, answer.text
        self.answers.append(f"{answer.headers}\n{answer.text}")
        return answer


def run_with_secrets(system: System, *, webhook_url: str = "") -> SecretRun:
    """Import accounts, make a picture and a video, fail in several ways, log in, export, read every list.

    With ``webhook_url`` the end of the video is told there, and to a registered receiver at the same place.
    """
    run = SecretRun()
    add_upstream_account(system, SESSION)
    add_upstream_account(system, ROTATED_SESSION, rotate_session_token=True)
    with system.admin() as admin, public(system) as client, proxy_thread() as servers:
        run.secrets.add(admin.headers["authorization"].removeprefix("Bearer "))
        lines, is_text = f"{SESSION}\n{DEAD_SESSION}\n{ROTATED_SESSION}\n{SESSION}\n", {"content-type": "text/plain"}
        imported = run.keep(admin.post("/admin/tokens/import", content=lines, headers=is_text))
        assert [each["status"] for each in imported.json()["results"]] == ["added", "failed", "added", "exists"]
        run.keep(admin.post("/admin/tokens", json={"provider": "gemini", "api_key": GEMINI_KEY}))
        for each in admin.get("/admin/tokens").json():
            if each["remark"] == "end to end":  # The accounts of the sandbox itself are named by their secrets.
                admin.delete(f"/admin/tokens/{each['id']}").raise_for_status()
        proxies = _add_proxies(run, admin, servers)
        if webhook_url:
            _register_receiver(run, client, webhook_url)
        _generate(run, client, webhook_url)
        if webhook_url:
            _wait_for_attempts(run, admin)
        assert sum(each.call_count for each in proxies) > 0
        servers.stop(proxies[-1])
        for path in [f"proxies/{each['id']}" for each in run.keep(admin.get("/admin/proxies")).json()]:
            run.keep(admin.post(f"/admin/{path}/check"))
            run.keep(admin.get(f"/admin/{path}"))
        run.keep(admin.post("/admin/login", json={"username": "admin", "password": WRONG_PASSWORD}), status=401)
        (token, *_) = run.keep(admin.get("/admin/tokens")).json()
        run.keep(admin.post(f"/admin/tokens/{token['id']}/refresh"))
        run.keep(admin.post("/admin/tokens/export", json={"passphrase": PASSPHRASE}))
        for path in ("stats", "jobs", "logs", "keys", "audit", f"tokens/{token['id']}/events"):
            run.keep(admin.get(f"/admin/{path}"))
        run.keep(admin.get("/metrics"))
        _show(run, system, admin)
    return run


def _generate(run: SecretRun, client: httpx.Client, webhook_url: str) -> None:
    # The last one lets every account rest for this model.
    for text in ("a heron", "[[fault:content]] refused", "[[fault:401 times=1]] stale", "[[fault:429]] later"):
        body = {"model": "gemini-3.1-flash-image", "prompt": text, "response_format": "url"}
        run.answers.append(client.post("/v1/images/generations", json=body).text)
    body = {"model": "veo-3.1-fast", "prompt": "waves", "size": "1280x720", "seconds": "8"}
    if webhook_url:
        # Its own receiver, and once more without one: the registered receiver is told.
        client.post("/v1/videos", json=body).raise_for_status()
        body |= {"webhook_url": webhook_url, "webhook_secret": WEBHOOK_SECRET}
    video = client.post("/v1/videos", json=body).raise_for_status().json()

    def is_completed() -> bool:
        answer = client.get(f"/v1/videos/{video['id']}").raise_for_status()
        run.answers.append(answer.text)
        return bool(answer.json()["status"] == "completed")

    block_until(is_completed, timeout=60)
    run.answers.append(client.get("/v1/models", headers={"authorization": "Bearer sk-wrong-key-0123456789"}).text)


def _add_proxies(run: SecretRun, admin: httpx.Client, servers: ProxyThread) -> list[ProxyServer]:
    """Two that work, one of which will break, and one of a token's own; beside them one with a wrong login."""
    works, own, breaks = (servers.start(scheme, user=PROXY_USER, password=PROXY_PASSWORD) for scheme in _SCHEMES)
    refused = f"http://{PROXY_USER}:{WRONG_PROXY_PASSWORD}@127.0.0.1:{works.port}"
    run.keep(admin.post("/admin/proxies", json={"url": works.url, "name": "works"}))
    imported = run.keep(admin.post("/admin/proxies/import", json={"urls": [breaks.url, refused, works.url]}))
    assert [each["status"] for each in imported.json()["results"]] == ["added", "added", "exists"]
    # No address of a proxy, which the refusal must not quote.
    run.keep(admin.post("/admin/proxies", json={"url": f"ftp://{PROXY_USER}:{PROXY_PASSWORD}@127.0.0.1:1"}), status=400)
    (token, *_) = admin.get("/admin/tokens").json()
    run.keep(admin.put(f"/admin/tokens/{token['id']}", json={"proxy_url": own.url}))
    return [works, own, breaks]


def _register_receiver(run: SecretRun, client: httpx.Client, webhook_url: str) -> None:
    events = ["video.completed", "video.failed"]
    endpoint = {"name": "of this run", "url": webhook_url, "event_types": events}
    created = client.post("/v1/webhook_endpoints", json=endpoint).raise_for_status().json()
    run.secrets.add(created["signing_secret"])
    rotated = client.post(f"/v1/webhook_endpoints/{created['id']}/rotate_secret").raise_for_status().json()
    run.secrets.add(rotated["signing_secret"])
    run.keep(client.get("/v1/webhook_endpoints"))


def _wait_for_attempts(run: SecretRun, admin: httpx.Client) -> None:
    """Each of the two deliveries has been tried once at least."""

    def are_tried() -> bool:
        deliveries = run.keep(admin.get("/admin/webhooks/deliveries")).json()
        return len(deliveries) >= 2 and all(each["attempt_count"] for each in deliveries)

    block_until(are_tried, timeout=60)
    for path in ("deliveries", "endpoints"):
        run.keep(admin.get(f"/admin/webhooks/{path}"))


def _show(run: SecretRun, system: System, admin: httpx.Client) -> None:
    """What is shown in clear once, or on purpose: a new API key, and each account's secret as it is now."""
    made = admin.post("/admin/keys", json={"name": "shown once"}).raise_for_status().json()["key"]
    run.keep(httpx.get(f"{system.base_url}/v1/models", headers={"authorization": f"Bearer {made}"}, trust_env=False))
    run.secrets.add(made)
    tokens = admin.get("/admin/tokens").json()
    for each in tokens:
        revealed = admin.post(f"/admin/tokens/{each['id']}/reveal")
        assert revealed.headers["cache-control"] == "no-store"
        run.secrets.add(revealed.json().get("st") or revealed.json()["api_key"])
    assert [entry["action"] for entry in admin.get("/admin/audit").json()[: len(tokens)]] == [
        "token.reveal" for _ in tokens
    ]


def remove_proxies(system: System) -> None:
    """Have the accounts speak to the upstream directly again: the proxies of the run have ended with it."""
    with system.admin() as admin:
        for each in admin.get("/admin/proxies").json():
            admin.delete(f"/admin/proxies/{each['id']}").raise_for_status()
        for each in admin.get("/admin/tokens").json():
            admin.put(f"/admin/tokens/{each['id']}", json={"proxy_url": ""}).raise_for_status()


def add_upstream_account(system: System, session: str, **changes: bool) -> None:
    """An account whose session token stands in nothing else that the upstream tells of it, and a Gemini key."""
    with httpx.Client(base_url=system.sandbox.urls["control_url"], trust_env=False) as control:
        account = {"session_token": session, "email": f"somebody-{len(session)}@sandbox.example", **changes}
        control.post("accounts", json=account).raise_for_status()
        control.post("keys", json={"key": GEMINI_KEY}).raise_for_status()


def public(system: System) -> httpx.Client:
    """A client of the public API."""
    headers = {"authorization": f"Bearer {API_KEY}"}
    return httpx.Client(base_url=system.base_url, headers=headers, timeout=60, trust_env=False)


def found_secrets(places: Mapping[str, bytes], secrets: Iterable[str]) -> list[tuple[str, str]]:
    """Where which secret stands, by the name of the place and the beginning of the secret: in clear, or in one of the
    forms that anyone can read: hexadecimal, base64, percent-encoded."""
    forms = {secret: _readable_forms(secret) for secret in secrets}
    return sorted(
        (place, secret[:_SHOWN])
        for place, content in places.items()
        for secret, texts in forms.items()
        if any(text in content for text in texts)
    )


def _readable_forms(secret: str) -> set[bytes]:
    plain = secret.encode()
    # The last characters of base64 depend on what follows.
    in_base64 = base64.b64encode(plain)[: len(plain) * 8 // 6]
    return {plain, plain.hex().encode(), in_base64, quote(secret, safe="").encode()}


def kept_files(directory: Path) -> dict[str, bytes]:
    """Everything that the system has written, but for its own file of secrets, and the sandbox's log."""
    kept: dict[str, bytes] = {}
    for root, _, names in os.walk(directory):
        for name in names:
            path = Path(root) / name
            if name != "secrets.toml" and path.relative_to(directory).parts[0] != "sandbox" and path.is_file():
                kept[str(path)] = path.read_bytes()
    return kept
