"""Receivers are told how videos ended, by the whole system, also when it is killed on the way."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest

from flow2api_testing.programs import block_until, run_flow2api
from flow2api_testing.secret_run import found_secrets, kept_files
from flow2api_testing.systems import API_KEY, System, all_in_one_system
from flow2api_testing.webhook_receiver import Receiver, running_receiver

pytestmark = pytest.mark.timeout(300)

DEFAULT_SECRET = "whsec_" + "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3"
VIDEO = {"model": "veo-3.1-fast", "prompt": "waves", "size": "1280x720", "seconds": "8"}


@pytest.fixture(scope="module")
def receiver() -> Iterator[Receiver]:
    with running_receiver() as found:
        yield found


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("webhooks")


@pytest.fixture(scope="module")
def system(receiver: Receiver, directory: Path) -> Iterator[System]:
    variables = {
        "FLOW2API_ALLOW_PRIVATE_HOSTS": f"127.0.0.1:{receiver.port}",
        "FLOW2API_WEBHOOK_URL": receiver.url("default"),
        "FLOW2API_WEBHOOK_SECRET": DEFAULT_SECRET,
        "FLOW2API_WEBHOOK_TIMEOUT": "1",
        "FLOW2API_WEBHOOK_FIRST_PAUSE": "0.5",
    }
    with all_in_one_system(directory, extra_variables=variables, time_scale="0") as running:
        yield running


@pytest.fixture
def api(system: System) -> Iterator[httpx.Client]:
    headers = {"authorization": f"Bearer {API_KEY}"}
    with httpx.Client(base_url=system.base_url, headers=headers, timeout=60, trust_env=False) as client:
        yield client


def create(api: httpx.Client, **fields: Any) -> str:
    answer = api.post("/v1/videos", json=VIDEO | fields)
    assert answer.is_success, answer.text
    return str(answer.json()["id"])


def test_the_job_the_key_and_the_installation_have_receivers(
    system: System, api: httpx.Client, receiver: Receiver
) -> None:
    by_default = create(api)
    by_job = create(api, webhook_url=receiver.url("job"), webhook_secret="a-secret-of-the-job")
    block_until(lambda: receiver.events("default", DEFAULT_SECRET) and receiver.events("job", "a-secret-of-the-job"))
    with openai.OpenAI(base_url=f"{system.base_url}/v1", api_key=API_KEY, max_retries=0) as client:
        endpoint = client.webhooks.create(
            name="end to end", url=receiver.url("endpoint"), event_types=["video.completed", "video.failed"]
        )
        by_endpoint = create(api)
        block_until(lambda: receiver.events("endpoint", endpoint.signing_secret))
        client.webhooks.delete(endpoint.id)
    told = {
        path: [event.data.id for event in receiver.events(path, secret)]
        for path, secret in (
            ("default", DEFAULT_SECRET),
            ("job", "a-secret-of-the-job"),
            ("endpoint", endpoint.signing_secret),
        )
    }
    assert told == {"default": [by_default], "job": [by_job], "endpoint": [by_endpoint]}


def test_receivers_and_operators_see_image_jobs(system: System, api: httpx.Client, receiver: Receiver) -> None:
    endpoint = {"name": "pictures", "url": receiver.url("pictures"), "event_types": ["image_job.completed"]}
    made = api.post("/v1/webhook_endpoints", json=endpoint).json()
    body = {"model": "gemini-3.1-flash-image", "prompt": "a pier"}
    job_id = api.post("/v1/images/generations", json=body, headers={"prefer": "respond-async"}).json()["id"]
    block_until(lambda: receiver.events("pictures", made["signing_secret"]))
    assert [(event.type, event.data.id) for event in receiver.events("pictures", made["signing_secret"])] == [
        ("image_job.completed", job_id)
    ]
    api.delete(f"/v1/webhook_endpoints/{made['id']}")
    assert job_id in run_flow2api("jobs", "list", "--images", variables=system.variables).stdout
    shown = json.loads(run_flow2api("jobs", "show", job_id, variables=system.variables).stdout)
    assert shown["status"] == "completed"
    assert shown["data"][0]["b64_json"].endswith("characters)")
    with system.admin() as admin:
        assert admin.get("/admin/jobs", params={"kind": "image"}).json()[0]["id"] == job_id


def test_signing_secrets_are_kept_and_logged_nowhere_in_clear(
    system: System, api: httpx.Client, receiver: Receiver, directory: Path
) -> None:
    url = receiver.url("sealed")
    endpoint = {"name": "sealed", "url": url, "event_types": ["video.failed"]}
    made = api.post("/v1/webhook_endpoints", json=endpoint).json()
    rotated = api.post(
        f"/v1/webhook_endpoints/{made['id']}/rotate_secret", json={"keep_old_secret_active_for_24_hours": True}
    ).json()
    create(api, webhook_url=url, webhook_secret="another-secret-of-a-job")
    block_until(lambda: receiver.events("sealed", "another-secret-of-a-job"))
    answers = api.get("/v1/webhook_endpoints").text
    with system.admin() as admin:
        answers += admin.get("/admin/webhooks/endpoints").text + admin.get("/admin/webhooks/deliveries").text
    secrets = [made["signing_secret"], rotated["signing_secret"], "another-secret-of-a-job", DEFAULT_SECRET]
    assert found_secrets({**kept_files(directory), "answers": answers.encode()}, secrets) == []
    assert api.delete(f"/v1/webhook_endpoints/{made['id']}").json()["deleted"] is True


def test_a_private_address_is_refused_by_name(api: httpx.Client) -> None:
    answer = api.post("/v1/videos", json=VIDEO | {"webhook_url": "https://127.0.0.1:9/x"})
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "webhook_url")


def test_a_killed_process_tells_it_after_its_next_start(system: System, api: httpx.Client, receiver: Receiver) -> None:
    receiver.answers.clear()
    create(api, webhook_url=receiver.url("killed"))
    block_until(lambda: receiver.events("killed", DEFAULT_SECRET))
    program = system.programs["up"]
    program.kill()
    receiver.answers.set()
    before = len(receiver.events("killed", DEFAULT_SECRET))
    program.start()
    system.wait_until_ready()
    block_until(lambda: len(receiver.events("killed", DEFAULT_SECRET)) > before)
    ids = {headers["webhook-id"] for path, headers, _ in receiver.received if path == "/killed"}
    assert len(ids) == 1

    def deliveries() -> list[dict[str, Any]]:
        listed = run_flow2api("webhooks", "list", "--json", variables=system.variables)
        rows: list[dict[str, Any]] = json.loads(listed.stdout)
        return [row for row in rows if row["event_id"] in ids]

    block_until(lambda: deliveries()[0]["state"] == "delivered")
    (delivery,) = deliveries()
    count = len(receiver.events("killed", DEFAULT_SECRET))
    replayed = run_flow2api("webhooks", "replay", delivery["id"], variables=system.variables)
    assert "pending" in replayed.stdout
    block_until(lambda: len(receiver.events("killed", DEFAULT_SECRET)) == count + 1)
