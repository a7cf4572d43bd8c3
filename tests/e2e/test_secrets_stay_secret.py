"""After a run through the API, nothing that is kept, logged, measured or answered holds a secret in clear."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from flow2api_testing.programs import block_until, run_flow2api
from flow2api_testing.systems import ADMIN_PASSWORD, API_KEY, System, all_in_one_system

pytestmark = pytest.mark.timeout(300)

SESSION, ROTATED_SESSION, DEAD_SESSION = "st-7f3a9c-of-this-test", "st-1b8e2d-that-is-rotated", "st-90cc41-of-nobody"
GEMINI_KEY = "AIza-key-4d2e77-of-this-test"
WRONG_PASSWORD = "wrong-password-of-somebody"
# Every access token of the sandbox begins like this.
ACCESS_TOKEN = "ya29."
PASSPHRASE = "end-to-end passphrase"


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("secrets")


@pytest.fixture(scope="module")
def system(directory: Path) -> Iterator[System]:
    with all_in_one_system(directory, time_scale="0") as running:
        yield running


def test_nothing_holds_a_secret_in_clear(system: System, directory: Path) -> None:
    answers: list[str] = []
    shown: set[str] = set()

    def keep(answer: httpx.Response, *, status: int = 200) -> httpx.Response:
        assert answer.status_code == status, answer.text
        answers.append(f"{answer.headers}\n{answer.text}")
        return answer

    add_upstream_account(system, SESSION)
    add_upstream_account(system, ROTATED_SESSION, rotate_session_token=True)
    with system.admin() as admin, public(system) as client:
        session = admin.headers["authorization"].removeprefix("Bearer ")
        lines, is_text = f"{SESSION}\n{DEAD_SESSION}\n{ROTATED_SESSION}\n{SESSION}\n", {"content-type": "text/plain"}
        imported = keep(admin.post("/admin/tokens/import", content=lines, headers=is_text))
        assert [each["status"] for each in imported.json()["results"]] == ["added", "failed", "added", "exists"]
        keep(admin.post("/admin/tokens", json={"provider": "gemini", "api_key": GEMINI_KEY}))
        for each in admin.get("/admin/tokens").json():
            if each["remark"] == "end to end":  # The accounts of the sandbox itself are named by their secrets.
                admin.delete(f"/admin/tokens/{each['id']}").raise_for_status()
        for text in ("a heron", "[[fault:content]] refused", "[[fault:429]] later"):
            body = {"model": "gemini-3.1-flash-image", "prompt": text, "response_format": "url"}
            answers.append(client.post("/v1/images/generations", json=body).text)
        a_video(client, answers)
        answers.append(client.get("/v1/models", headers={"authorization": "Bearer sk-wrong-key-0123456789"}).text)
        wrong = admin.post("/admin/login", json={"username": "admin", "password": WRONG_PASSWORD})
        keep(wrong, status=401)
        (token, *_) = keep(admin.get("/admin/tokens")).json()
        keep(admin.post(f"/admin/tokens/{token['id']}/refresh"))
        keep(admin.post("/admin/tokens/export", json={"passphrase": PASSPHRASE}))
        for path in ("stats", "jobs", "logs", "keys", "audit", f"tokens/{token['id']}/events"):
            keep(admin.get(f"/admin/{path}"))
        keep(admin.get("/metrics"))
        made = admin.post("/admin/keys", json={"name": "shown once"}).raise_for_status().json()["key"]
        keep(httpx.get(f"{system.base_url}/v1/models", headers={"authorization": f"Bearer {made}"}, trust_env=False))
        shown |= {session, made}
        for each in admin.get("/admin/tokens").json():
            revealed = admin.post(f"/admin/tokens/{each['id']}/reveal")
            assert revealed.headers["cache-control"] == "no-store"
            shown.add(revealed.json().get("st") or revealed.json()["api_key"])
        assert [entry["action"] for entry in admin.get("/admin/audit").json()[:3]] == ["token.reveal"] * 3
    secrets = {API_KEY, ADMIN_PASSWORD, WRONG_PASSWORD, PASSPHRASE, ACCESS_TOKEN, GEMINI_KEY}
    secrets |= {SESSION, ROTATED_SESSION, DEAD_SESSION, *shown}

    kept = kept_files(directory)
    kept["answers"] = "\n".join(answers).encode()
    found = [
        (Path(name).name, secret[:12])
        for name, content in kept.items()
        for secret in secrets
        if secret.encode() in content
    ]
    assert found == []
    assert {"up.log", "tokens.db", "generation.db"} <= {Path(name).name for name in kept}


def test_keys_can_be_exchanged_between_two_runs(system: System, directory: Path) -> None:
    """The key of the state directory is new, and API keys, logins and tokens work as before."""
    mine = {"st": "st-55aa00-of-the-rotation"}
    add_upstream_account(system, mine["st"])
    with system.admin() as admin:
        assert admin.post("/admin/tokens/import", json=[mine]).json()["added"] == 1
    program = system.programs["up"]
    program.stop()
    rotated = run_flow2api("secrets", "rotate", variables=system.variables)
    assert rotated.returncode == 0, rotated.stderr
    assert re.search(r"sealed \d+ secrets", rotated.stdout)
    program.start()
    system.wait_until_ready()
    with system.admin() as admin, public(system) as client:
        client.get("/v1/models").raise_for_status()
        for token in admin.get("/admin/tokens").raise_for_status().json():
            admin.post(f"/admin/tokens/{token['id']}/refresh").raise_for_status()
        assert admin.post("/admin/tokens/import", json=[mine]).json()["exists"] == 1
    program.stop()
    variables = {**system.variables, "FLOW2API_SECRET_KEY": "another-secret-key-0123456789"}
    refused = run_flow2api("up", variables=variables)
    assert refused.returncode == 1
    assert "FLOW2API_SECRET_KEY is not the key" in refused.stderr
    assert "Traceback" not in refused.stderr
    program.start()
    system.wait_until_ready()


def test_tokens_move_by_command(system: System, tmp_path: Path) -> None:
    """An export is sealed and its owner's alone, and goes in again; text goes in, with what failed shown."""
    export, passphrase, lines = tmp_path / "tokens.json", tmp_path / "passphrase", tmp_path / "lines.txt"
    passphrase.write_text(f"{PASSPHRASE}\n")
    lines.write_text(f"# mine\n{DEAD_SESSION}\n")
    sealed = ("--passphrase-file", str(passphrase), "--url", system.base_url)

    written = run_flow2api("tokens", "export", str(export), *sealed, variables=system.variables)
    again = run_flow2api("tokens", "import", str(export), *sealed, variables=system.variables)
    wrong = run_flow2api("tokens", "import", str(lines), "--url", system.base_url, variables=system.variables)
    overwriting = run_flow2api("tokens", "export", str(export), *sealed, variables=system.variables)

    assert written.returncode == 0, written.stderr
    assert export.stat().st_mode & 0o777 == 0o600
    assert again.returncode == 0, again.stderr
    assert re.search(r"0 added, [1-9]\d* in the pool already, 0 failed", again.stdout)
    assert wrong.returncode == overwriting.returncode == 1
    assert "0 added, 0 in the pool already, 1 failed" in wrong.stdout
    assert DEAD_SESSION not in wrong.stdout + wrong.stderr


def add_upstream_account(system: System, session: str, **changes: bool) -> None:
    """An account whose session token stands in nothing else that the upstream tells of it, and a Gemini key."""
    with httpx.Client(base_url=system.sandbox.urls["control_url"], trust_env=False) as control:
        account = {"session_token": session, "email": f"somebody-{len(session)}@sandbox.example", **changes}
        control.post("accounts", json=account).raise_for_status()
        control.post("keys", json={"key": GEMINI_KEY}).raise_for_status()


def public(system: System) -> httpx.Client:
    headers = {"authorization": f"Bearer {API_KEY}"}
    return httpx.Client(base_url=system.base_url, headers=headers, timeout=60, trust_env=False)


def a_video(client: httpx.Client, answers: list[str]) -> None:
    body = {"model": "veo-3.1-fast", "prompt": "waves", "size": "1280x720", "seconds": "8"}
    video = client.post("/v1/videos", json=body).raise_for_status().json()

    def is_completed() -> bool:
        answer = client.get(f"/v1/videos/{video['id']}").raise_for_status()
        answers.append(answer.text)
        return bool(answer.json()["status"] == "completed")

    block_until(is_completed, timeout=60)


def kept_files(directory: Path) -> dict[str, bytes]:
    """Everything that the system has written, but for its own file of secrets, and the sandbox's log."""
    kept: dict[str, bytes] = {}
    for root, _, names in os.walk(directory):
        for name in names:
            path = Path(root) / name
            if name != "secrets.toml" and path.relative_to(directory).parts[0] != "sandbox" and path.is_file():
                kept[str(path)] = path.read_bytes()
    return kept
