"""A pool of service accounts alone: pictures, edits and clips by both protocols, and troubles that it survives."""

from __future__ import annotations

import base64
import io
import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from PIL import Image

from flow2api_cli.media_facts import clip_facts
from flow2api_testing.programs import run_flow2api
from flow2api_testing.systems import API_KEY, System, all_in_one_system

pytestmark = pytest.mark.timeout(300)

PICTURES = "gemini-3.1-flash-image"
VEO = "veo-3.1-fast"
OMNI = "gemini-omni-1.1-flash"
EMAIL = "sandbox-sa-{0}@sandbox-project-{0}.iam.gserviceaccount.com"
PLACES = [(1, "us-central1"), (1, "europe-west4"), (2, "global")]
PATIENCE_SECONDS = 90.0


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """Two service accounts, the first of them in two locations."""
    directory = tmp_path_factory.mktemp("google-cloud")
    with all_in_one_system(directory, accounts=(), time_scale="0") as running:
        accounts = [
            {"provider": "vertex", "service_account": json.dumps(new_key(running, number)), "location": location}
            for number, location in PLACES
        ]
        running.add_accounts(accounts)
        yield running


@pytest.fixture
def http(system: System) -> Iterator[httpx.Client]:
    headers = {"authorization": f"Bearer {API_KEY}"}
    with httpx.Client(base_url=system.base_url, headers=headers, timeout=120, trust_env=False) as client:
        yield client


@pytest.fixture
def google(system: System) -> Iterator[httpx.Client]:
    headers = {"x-goog-api-key": API_KEY}
    with httpx.Client(base_url=system.base_url, headers=headers, timeout=120, trust_env=False) as client:
        yield client


def control(system: System, path: str, body: dict[str, Any], method: str = "POST") -> Any:
    url = system.sandbox.urls["control_url"] + path
    answer = httpx.request(method, url, json=body, trust_env=False)
    assert answer.is_success, answer.text
    return answer.json() if answer.content else None


def new_key(system: System, number: int) -> dict[str, str]:
    key: dict[str, str] = control(system, f"/service-accounts/{EMAIL.format(number)}/keys", {})
    return key


def png(width: int, height: int) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (width, height), "teal").save(out, "PNG")
    return out.getvalue()


def tokens(system: System) -> list[dict[str, Any]]:
    with system.admin() as admin:
        return list(admin.get("/admin/tokens").json())


def made(http: httpx.Client, prompt: str = "a kite") -> httpx.Response:
    return http.post("/v1/images/generations", json={"model": PICTURES, "prompt": prompt, "size": "1536x1024"})


def finished_clip(http: httpx.Client, **body: Any) -> bytes:
    answer = http.post("/v1/videos", json=body)
    assert answer.is_success, answer.text
    job = answer.json()
    deadline = time.monotonic() + PATIENCE_SECONDS
    while job["status"] in {"queued", "in_progress"} and time.monotonic() < deadline:
        time.sleep(0.2)
        job = http.get(f"/v1/videos/{job['id']}").json()
    assert job["status"] == "completed", job
    return http.get(f"/v1/videos/{job['id']}/content").content


def test_picture_and_edit_by_openais_protocol(http: httpx.Client) -> None:
    answer = made(http)
    assert answer.is_success, answer.text
    first = base64.b64decode(answer.json()["data"][0]["b64_json"])
    width, height = Image.open(io.BytesIO(first)).size
    assert width > height
    edit = http.post(
        "/v1/images/edits",
        data={"model": PICTURES, "prompt": "make it red"},
        files={"image": ("kite.png", png(90, 160), "image/png")},
    )
    assert edit.is_success, edit.text
    width, height = Image.open(io.BytesIO(base64.b64decode(edit.json()["data"][0]["b64_json"]))).size
    assert width < height


@pytest.mark.parametrize("model", [VEO, OMNI])
def test_clip_by_openais_protocol(http: httpx.Client, model: str) -> None:
    facts = clip_facts(finished_clip(http, model=model, prompt=f"a kite by {model}", seconds="4", size="720x1280"))
    assert (facts.width, facts.height) == (720, 1280)


def test_picture_by_geminis_protocol_keeps_its_words(google: httpx.Client) -> None:
    part = {"inlineData": {"mimeType": "image/png", "data": base64.b64encode(png(160, 90)).decode()}}
    body = {"contents": [{"role": "user", "parts": [{"text": "make it red"}, part]}]}
    answer = google.post(f"/v1beta/models/{PICTURES}:generateContent", json=body)
    assert answer.is_success, answer.text
    parts = answer.json()["candidates"][0]["content"]["parts"]
    assert any(each.get("text") for each in parts)
    picture = base64.b64decode(next(each["inlineData"]["data"] for each in parts if "inlineData" in each))
    width, height = Image.open(io.BytesIO(picture)).size
    assert width > height


def test_clip_by_geminis_protocol(google: httpx.Client) -> None:
    frame = {"bytesBase64Encoded": base64.b64encode(png(160, 90)).decode(), "mimeType": "image/png"}
    body = {
        "instances": [{"prompt": "a kite", "image": frame}],
        "parameters": {"aspectRatio": "16:9", "durationSeconds": 4},
    }
    answer = google.post(f"/v1beta/models/{VEO}:predictLongRunning", json=body)
    assert answer.is_success, answer.text
    operation = answer.json()
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not operation.get("done") and time.monotonic() < deadline:
        time.sleep(0.2)
        operation = google.get(f"/v1beta/{operation['name']}").json()
    samples = operation["response"]["generateVideoResponse"]["generatedSamples"]
    clip = google.get(samples[0]["video"]["uri"], follow_redirects=True)
    assert clip.content[4:8] == b"ftyp"


def test_model_that_one_location_lacks_is_made_in_another(system: System, http: httpx.Client) -> None:
    for _, location in PLACES[1:]:
        control(system, "/availability", {"model": "veo-*", "location": location, "is_served": False})
    for number in range(3):
        assert finished_clip(http, model=VEO, prompt=f"clip {number}", seconds="4")[4:8] == b"ftyp"
    rests = {
        (token["location"], rest["reason"])
        for token in tokens(system)
        for rest in token["rests"]
        if rest["model"].startswith("veo-")
    }
    assert rests
    assert rests <= {(location, "model_not_here") for _, location in PLACES[1:]}
    assert {token["state"] for token in tokens(system)} == {"active"}


def test_picture_is_made_however_many_locations_lack_its_model(system: System, http: httpx.Client) -> None:
    control(system, "/availability", {"model": "gemini-3-pro-image", "location": "*", "is_served": False})
    control(system, "/availability", {"model": "gemini-3-pro-image", "location": "global", "is_served": True})
    key = json.dumps(new_key(system, 1))
    with system.admin() as admin:
        lacking = [
            admin.post("/admin/tokens", json={"provider": "vertex", "service_account": key, "location": location})
            for location in ("us-east1", "us-east4", "us-west1")
        ]
        answer = http.post("/v1/images/generations", json={"model": "gemini-3.0-pro-image", "prompt": "a kite"})
        for added in lacking:
            admin.delete(f"/admin/tokens/{added.json()['id']}")
    assert answer.is_success, answer.text


def test_model_that_is_gone_everywhere_switches_its_route_off_until_an_account_comes_that_may_have_it(
    system: System, http: httpx.Client
) -> None:
    model, route = "gemini-nano-banana-2.1", "vertex/gemini-nano-banana-2.1"

    def ask(prompt: str) -> httpx.Response:
        return http.post("/v1/images/generations", json={"model": model, "prompt": prompt})

    control(system, "/availability", {"model": model, "location": "*", "is_served": False})
    with system.admin() as admin:
        refused = ask("asks everywhere")
        assert (refused.status_code, refused.json()["error"]["code"]) == (502, "upstream_model_gone"), refused.text
        wait_until(lambda: not route_state(admin, route)["enabled"])
        state = route_state(admin, route)
        assert (state["reason"], state["changed_by"]) == ("model_gone", "upstream")
        assert state["changed_at"] < state["retry_at"]
        # The other route has no account; without it, none is left.
        refused = ask("asks nowhere")
        assert refused.status_code == 503, refused.text
        assert "does not know it any more" in refused.json()["error"]["message"]
        admin.put("/admin/routes", json={"route": f"gemini/{model}", "enabled": False})
        refused = ask("asks nowhere")
        assert (refused.status_code, refused.json()["error"]["code"]) == (502, "upstream_model_gone"), refused.text
        admin.put("/admin/routes", json={"route": f"gemini/{model}", "enabled": True})
        control(system, "/availability", {"model": model, "location": "us-east5", "is_served": True})
        key = json.dumps(new_key(system, 1))
        body = {"provider": "vertex", "service_account": key, "location": "us-east5"}
        added = admin.post("/admin/tokens", json=body).json()
        wait_until(lambda: bool(route_state(admin, route)["enabled"]))
        served = ask("is back")
        assert served.is_success, served.text
        # Without it nobody has the model again, and nobody is asked to find that out.
        admin.delete(f"/admin/tokens/{added['id']}")
        refused = ask("gone again")
        assert refused.status_code == 503, refused.text
        assert "has no such model" in refused.json()["error"]["message"]
        wait_until(lambda: not route_state(admin, route)["enabled"])
        # By hand it is asked for everywhere again.
        control(system, "/availability", {"model": model, "location": "*", "is_served": True})
        assert admin.put("/admin/routes", json={"route": route, "enabled": True}).is_success
        served = ask("is back for good")
        assert served.is_success, served.text
        changes = admin.get("/admin/settings/changes").json()
    assert [each["changed_by"] for each in changes if each["name"] == f"route:{route}"][1:] == [
        "upstream",
        "retry",
        "upstream",
    ]


def route_state(admin: httpx.Client, route: str) -> dict[str, Any]:
    states = [each for model in admin.get("/admin/routes").json() for each in model["routes"]]
    return next(each for each in states if each["route"] == route)


def wait_until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not holds() and time.monotonic() < deadline:
        time.sleep(0.1)
    assert holds()


def test_used_up_day_rests_one_model_in_one_location(system: System, http: httpx.Client) -> None:
    day = {"project": "sandbox-project-1", "location": "europe-west4", "model": PICTURES, "per_day": 1}
    control(system, "/quotas", day)
    for number in range(6):
        assert made(http, f"picture {number}").is_success
    (token,) = [each for each in tokens(system) if each["location"] == "europe-west4"]
    assert [rest["reason"] for rest in token["rests"] if rest["model"] == PICTURES] == ["quota"]
    assert "midnight" in next(rest["message"] for rest in token["rests"] if rest["reason"] == "quota")


def test_unpaid_project_is_parked_and_the_others_serve(system: System, http: httpx.Client) -> None:
    control(system, "/projects", {"project": "sandbox-project-2", "state": "billing_disabled"})
    for number in range(6):
        assert made(http, f"picture {number}").is_success
    (token,) = [each for each in tokens(system) if each["location"] == "global"]
    assert (token["state"], token["state_reason"]) == ("parked", "billing_disabled")
    assert "billing account" in token["state_message"]
    control(system, "/projects", {"project": "sandbox-project-2", "state": "ok"})
    with system.admin() as admin:
        assert admin.post(f"/admin/tokens/{token['id']}/enable").json()["state"] == "active"


def test_command_line_adds_the_machines_account_in_several_locations(system: System) -> None:
    added = run_flow2api(
        "tokens", "add", "--provider", "vertex", "--machine-account",
        "--location", "us-west4", "--location", "asia-south1",
        variables=system.variables,
    )  # fmt: skip
    assert added.returncode == 0, added.stderr
    assert added.stdout.count("added") == 2
    listed = run_flow2api("tokens", "list", "--json", variables=system.variables)
    new = [each for each in json.loads(listed.stdout) if each["location"] in {"us-west4", "asia-south1"}]
    assert {each["email"] for each in new} == {EMAIL.format(1)}
    assert {each["current_project_id"] for each in new} == {"sandbox-project-1"}
    with system.admin() as admin:
        for each in new:
            admin.delete(f"/admin/tokens/{each['id']}")


def test_key_that_is_revoked_says_what_to_do(system: System, http: httpx.Client) -> None:
    key = new_key(system, 3)
    with system.admin() as admin:
        added = admin.post("/admin/tokens", json={"provider": "vertex", "service_account": key}).json()
        control(system, f"/service-accounts/{EMAIL.format(3)}/keys/{key['private_key_id']}", {}, method="DELETE")
        refused = admin.post(f"/admin/tokens/{added['id']}/refresh")
        assert refused.status_code >= 400
        token = admin.get(f"/admin/tokens/{added['id']}").json()
        assert (token["state"], token["state_reason"]) == ("disabled", "key_revoked")
        assert "Make a new key" in token["state_message"]
        again = admin.post("/admin/tokens", json={"provider": "vertex", "service_account": key, "location": "eu"})
        assert again.status_code == 400
        assert "Make a new key" in again.json()["error"]["message"]
        admin.delete(f"/admin/tokens/{added['id']}")
    assert made(http, "the others serve on").is_success


def test_one_queue_over_three_providers_with_uneven_accounts(system: System, http: httpx.Client) -> None:
    control(system, "/quotas", {"project": "sandbox-key-2", "per_day": 0})
    control(system, "/faults", {"kind": "500", "route": "flow.video_*", "account": "sandbox-st-2", "times": 3})
    credentials = [{"provider": "flow", "st": f"sandbox-st-{number}"} for number in (1, 2)]
    credentials += [{"provider": "gemini", "api_key": f"sandbox-key-{number}"} for number in (1, 2, 3)]
    with system.admin() as admin:
        added = [admin.post("/admin/tokens", json={**each, "video_concurrency": 1}).json() for each in credentials]
        control(system, "/keys", {"key": "sandbox-key-3", "state": "deleted"})
        prompts = [f"one queue, clip {number}" for number in range(12)]
        with ThreadPoolExecutor(len(prompts)) as pool:
            list(pool.map(lambda prompt: finished_clip(http, model="omni", prompt=prompt, seconds="8"), prompts))
        jobs = [job for job in admin.get("/admin/jobs?limit=30").json() if job["prompt"] in prompts]
        ids = [job["id"] for job in jobs]
        tries = [each for id_ in ids for each in admin.get(f"/admin/jobs/{id_}").json()["attempts"]]
        for token in added:
            admin.delete(f"/admin/tokens/{token['id']}")
    control(system, "/keys", {"key": "sandbox-key-3", "state": "ok"})
    submissions = system.sandbox.submissions()
    assert [submissions[prompt] for prompt in prompts] == [1] * len(prompts)
    made = [each for each in tries if each["outcome"] == "accepted"]
    assert len(made) == len(prompts)
    assert {each["provider"] for each in made} == {"flow", "gemini", "vertex"}
    # Flow counts no tokens.
    assert [job["provider"] != "flow" for job in jobs] == [
        job.get("usage", {}).get("total_tokens", 0) > 0 for job in jobs
    ]
    whole, failing, key, used_up, revoked = (
        {(each["outcome"], each["next"]) for each in tries if each["token_id"] == token["id"]} for token in added
    )
    assert ("accepted", None) in whole & key
    assert ("upstream", "other_account") in failing
    assert ("quota_model", "room_elsewhere") in used_up
    assert ("auth", "other_account") in revoked
    assert ("accepted", None) not in revoked | used_up
    # Each tells why the routes before its own could not serve, account for account.
    passing = next(each for each in tries if "flow/abra_t2v_8s" in each["passed_why"])
    why = passing["passed_why"]["flow/abra_t2v_8s"]["accounts"]
    assert sum(why.values()) == 2
    assert set(why) <= {"busy", "errors", "free_now", "tried"}
    shown = run_flow2api("jobs", "show", ids[0], "--attempts", variables=system.variables)
    assert shown.returncode == 0, shown.stderr
    assert "accepted" in shown.stdout


def test_no_private_key_is_in_any_log(system: System) -> None:
    log = "".join(program.log() for program in system.programs.values())
    assert "database_migrated" in log
    assert "BEGIN PRIVATE" not in log
    assert "ya29." not in log


def test_the_ledger_is_the_bill_to_the_millionth(system: System, http: httpx.Client) -> None:
    assert made(http, "a kite over a lake").is_success
    refused = made(http, "a kite [[fault:content]]")
    assert not refused.is_success
    finished_clip(http, model=OMNI, prompt="a kite in tokens", seconds="5")
    finished_clip(http, model=VEO, prompt="a kite in seconds", seconds="4")
    deadline = time.monotonic() + PATIENCE_SECONDS
    while (rows := by_provider(system)) and any(row["open_micro_usd"] for row in rows) and time.monotonic() < deadline:
        time.sleep(0.2)
    bill = control(system, "/bill", {}, method="GET")
    assert sum(row["settled_micro_usd"] for row in rows) == bill["total_micros"] > 0
    assert all(row["reserved_micro_usd"] == row["settled_micro_usd"] + row["released_micro_usd"] for row in rows)


def by_provider(system: System) -> list[dict[str, Any]]:
    with system.admin() as admin:
        return list(admin.get("/admin/usage", params={"by": "provider"}).json())
