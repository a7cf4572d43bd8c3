"""After a run with faults, a kill and repeats, the ledger says what the sandbox says that it took, to the credit."""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from flow2api_testing.systems import API_KEY, System, all_in_one_system
from flow2api_testing.waiting import eventually

UPSTREAM = {
    "fast_video_duration": "4",
    "quality_video_duration": "4",
    "upsample_4k_duration": "2",
    "image_latency": "0",
    "upload_latency": "0",
    "storing_delay": "0.2",
}
FINISH_TIMEOUT_SECONDS = 120.0
# Model, mark for the sandbox in the prompt, how many.
ORDERS = (
    ("veo_3_1_t2v_fast_landscape", "", 6),
    ("veo_3_1_t2v_fast_landscape", "[[fault:fail]]", 2),
    ("veo_3_1_t2v_fast_landscape", "[[fault:fail reason=PUBLIC_ERROR_UNSAFE_GENERATION]]", 2),
    ("veo_3_1_t2v_fast_landscape", "[[fault:content]]", 1),
    ("veo_3_1_t2v_fast_landscape", "[[fault:503 times=1]]", 1),
    ("veo_3_1_t2v_fast_landscape", "[[fault:lost_answer]]", 1),
)
FINAL = {"completed", "failed"}
# In the order in which they are added to the pool.
ACCOUNT_NAMES = ("sandbox-st-1", "sandbox-st-2")

pytestmark = pytest.mark.timeout(300)


@pytest.fixture
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    with all_in_one_system(tmp_path_factory.mktemp("ledger"), **UPSTREAM) as running:
        yield running


async def test_ledger_agrees_with_what_the_upstream_took(system: System) -> None:
    headers = {"authorization": f"Bearer {API_KEY}"}
    async with httpx.AsyncClient(base_url=system.base_url, headers=headers, timeout=60, trust_env=False) as client:
        orders = [
            (uuid.uuid4().hex, {"model": model, "prompt": f"waves {uuid.uuid4().hex} {mark}"})
            for model, mark, count in ORDERS
            for _ in range(count)
        ]
        made = {key: await create(client, key, body) for key, body in orders}
        cancelled = next(iter(made.values()))["id"]
        (await client.post(f"/v1/videos/{cancelled}/cancel")).raise_for_status()

        with system.admin() as admin:
            await eventually(lambda: not waiting(admin), timeout=60)
        program = system.programs["up"]
        program.kill()
        program.start()
        system.wait_until_ready()

        for key, body in orders:
            repeated = await create(client, key, body, is_repeat=True)
            assert repeated["id"] == made[key]["id"]

        async def all_ended() -> bool:
            videos = [(await client.get(f"/v1/videos/{video['id']}")).json() for video in made.values()]
            return {video["status"] for video in videos} <= FINAL

        await eventually(all_ended, timeout=FINISH_TIMEOUT_SECONDS)

    with system.admin() as admin:

        def undecided() -> list[Any]:
            entries = admin.get("/admin/ledger", params={"limit": 1000}).raise_for_status().json()
            return [entry for entry in entries if entry["state"] in {"reserved", "charged"}]

        # What was cancelled after its submission is still followed.
        await eventually(lambda: not undecided(), timeout=60)
        entries = admin.get("/admin/ledger", params={"limit": 1000}).json()
        rows = admin.get("/admin/usage", params={"by": "token"}).json()
        tokens = [token["id"] for token in admin.get("/admin/tokens").json()]
    assert {entry["generation_id"] for entry in entries} >= {video["id"] for video in made.values()}
    by_state = Counter(entry["state"] for entry in entries)
    assert by_state["settled"] >= 5
    assert by_state["released"] >= 4
    # The lost answer is the one thing that nobody can know, and the upstream did take it.
    assert by_state["disputed"] == 1
    took = net_of(system)
    said = {row["token_id"]: row["settled_credits"] + row["disputed_credits"] for row in rows}
    assert took.total() > 0
    for token_id, account in zip(sorted(tokens), ACCOUNT_NAMES, strict=False):
        assert said.get(token_id, 0) == took[account], (said, took)
    for row in rows:
        assert row["reserved_credits"] == row["open_credits"] + row["settled_credits"] + row["released_credits"]


def waiting(admin: httpx.Client) -> list[str]:
    """Videos that the upstream has not been asked for, or has not answered about."""
    jobs = admin.get("/admin/jobs", params={"limit": 100}).raise_for_status().json()
    return [job["id"] for job in jobs if job["state"] in {"queued", "submitting"}]


async def create(
    client: httpx.AsyncClient, key: str, body: dict[str, Any], *, is_repeat: bool = False
) -> dict[str, Any]:
    answer = await client.post("/v1/videos", json=body, headers={"idempotency-key": key})
    assert answer.is_success, answer.text
    assert ("idempotency-replayed" in answer.headers) is is_repeat
    video: dict[str, Any] = answer.json()
    return video


def net_of(system: System) -> Counter[str]:
    """What the sandbox has taken and not given back, by account."""
    report = system.sandbox.report()
    net = Counter(report["charged"])
    net.subtract(report["refunded"])
    return net
