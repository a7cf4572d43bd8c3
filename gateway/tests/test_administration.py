"""Administration over HTTP."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import httpx
import pytest

from flow2api_common.errors import CapacityError
from flow2api_proto.generation.v1 import attempt_pb2, image_pb2

ADMIN_ROUTES = [
    ("POST", "/admin/tokens"),
    ("GET", "/admin/tokens"),
    ("GET", "/admin/tokens/1"),
    ("PUT", "/admin/tokens/1"),
    ("DELETE", "/admin/tokens/1"),
    ("POST", "/admin/tokens/1/enable"),
    ("POST", "/admin/tokens/1/disable"),
    ("POST", "/admin/tokens/1/refresh"),
    ("GET", "/admin/tokens/1/projects"),
    ("POST", "/admin/tokens/1/projects"),
    ("DELETE", "/admin/tokens/1/projects/p"),
    ("POST", "/admin/tokens/1/projects/p/activate"),
    ("POST", "/admin/tokens/1/projects/p/deactivate"),
    ("GET", "/admin/proxies"),
    ("POST", "/admin/proxies"),
    ("POST", "/admin/proxies/import"),
    ("GET", "/admin/proxies/1"),
    ("PUT", "/admin/proxies/1"),
    ("DELETE", "/admin/proxies/1"),
    ("POST", "/admin/proxies/1/enable"),
    ("POST", "/admin/proxies/1/disable"),
    ("POST", "/admin/proxies/1/check"),
    ("GET", "/admin/stats"),
    ("GET", "/admin/jobs"),
    ("GET", "/admin/jobs/video_1"),
    ("GET", "/admin/logs"),
    ("GET", "/admin/logs/gen1/attempts"),
    ("GET", "/admin/keys"),
    ("POST", "/admin/keys"),
    ("DELETE", "/admin/keys/key_1"),
    ("PATCH", "/admin/keys/key_1"),
    ("POST", "/admin/password"),
    ("GET", "/admin/admins"),
    ("POST", "/admin/admins"),
    ("DELETE", "/admin/admins/1"),
    ("POST", "/admin/admins/1/password"),
    ("GET", "/admin/sessions"),
    ("DELETE", "/admin/sessions"),
    ("DELETE", "/admin/sessions/session_1"),
]


@pytest.mark.parametrize(("method", "path"), ADMIN_ROUTES)
async def test_the_api_key_opens_no_admin_route(client: httpx.AsyncClient, method: str, path: str) -> None:
    response = await client.request(method, path)
    assert (response.status_code, response.json()["error"]["code"]) == (401, "invalid_session")


async def test_the_admin_session_opens_no_v1_route(admin: httpx.AsyncClient) -> None:
    assert (await admin.get("/v1/models")).status_code == 401


async def test_login_gives_a_bearer_that_opens(client: httpx.AsyncClient) -> None:
    answer = await client.post("/admin/login", json={"username": "admin", "password": "right-password"})
    assert answer.json()["success"] is True
    bearer = {"authorization": f"Bearer {answer.json()['token']}"}
    assert (await client.get("/admin/tokens", headers=bearer)).json() == []
    assert (await client.post("/admin/logout", headers=bearer)).status_code == 200


async def test_a_wrong_login_is_401_and_shows_nothing(client: httpx.AsyncClient) -> None:
    response = await client.post("/admin/login", json={"username": "admin", "password": "wrong-password"})
    assert (response.status_code, response.json()["error"]["code"]) == (401, "invalid_login")
    assert "wrong-password" not in response.text


async def test_a_wrong_body_does_not_echo_the_password(client: httpx.AsyncClient) -> None:
    response = await client.post("/admin/login", json={"username": 1, "password": "right-password"})
    assert (response.status_code, response.json()["error"]["param"]) == (400, "username")
    assert "right-password" not in response.text


async def test_too_many_logins_are_429(client: httpx.AsyncClient, world: Any) -> None:
    world.access.login_error = CapacityError(
        "Too many wrong logins.", reason="LOGIN_THROTTLED", retry_after=timedelta(seconds=60)
    )
    response = await client.post("/admin/login", json={"username": "admin", "password": "x"})
    assert (response.status_code, response.headers["retry-after"]) == (429, "60")


async def test_the_login_address_is_that_of_the_connection(address: str, world: Any) -> None:
    async with httpx.AsyncClient() as client:
        headers = {"x-forwarded-for": "8.8.8.8", "x-real-ip": "8.8.8.8", "forwarded": "for=8.8.8.8"}
        await client.post(f"{address}/admin/login", json={"username": "a", "password": "b"}, headers=headers)
    assert world.access.logins[0].client_address == "127.0.0.1"


async def test_a_tokens_own_limits(admin: httpx.AsyncClient, world: Any) -> None:
    limits = {"veo-3.1-lite-*": {"concurrency": 1}, "veo-*": {"requests_per_minute": 10, "concurrency": -1}}
    await admin.post("/admin/tokens", json={"st": "secret-1"})
    changed = (await admin.put("/admin/tokens/1", json={"model_limits": limits})).json()
    assert changed["model_limits"] == limits
    assert list(changed["model_limits"]) == list(limits)
    await admin.put("/admin/tokens/1", json={"model_limits": {}})
    assert [list(each.update_mask.paths) for each in world.tokens.updates] == [["model_limits"]] * 2
    assert not world.tokens.updates[1].token.model_limits
    for wrong in ([], {"veo-*": 3}, {"veo-*": {"per_minute": 3}}, {"veo-*": {"concurrency": "many"}}):
        refused = await admin.put("/admin/tokens/1", json={"model_limits": wrong})
        assert (refused.status_code, refused.json()["error"]["param"].split(".")[0]) == (400, "model_limits")


async def test_a_tokens_life(admin: httpx.AsyncClient, world: Any) -> None:
    fields = {"st": "secret-session-token-abcd", "remark": "mine", "image_concurrency": 3, "video_enabled": True}
    added = (await admin.post("/admin/tokens", json=fields)).json()
    assert (added["id"], added["st"], added["remark"], added["image_concurrency"]) == (1, "…abcd", "mine", 3)
    assert (added["credits"], added["user_paygate_tier"], added["is_active"]) == (990, "PAYGATE_TIER_ONE", True)
    changed = await admin.put("/admin/tokens/1", json={"remark": "yours", "image_enabled": False})
    assert (changed.json()["remark"], changed.json()["image_enabled"]) == ("yours", False)
    assert set(world.tokens.updates[0].update_mask.paths) == {"remark", "image_enabled"}
    disabled = (await admin.post("/admin/tokens/1/disable", json={"reason": "holiday"})).json()
    assert (disabled["is_active"], disabled["state"], disabled["ban_reason"]) == (False, "disabled", "holiday")
    assert (await admin.post("/admin/tokens/1/disable")).json()["state_reason"] == "admin"
    assert (await admin.post("/admin/tokens/1/enable")).json()["state"] == "active"
    assert (await admin.post("/admin/tokens/1/refresh")).json()["id"] == 1
    listed = await admin.get("/admin/tokens")
    assert [token["id"] for token in listed.json()] == [1]
    assert "secret-session-token" not in listed.text
    assert (await admin.delete("/admin/tokens/1")).json() == {"success": True, "id": 1, "deleted": True}
    assert (await admin.get("/admin/tokens/1")).status_code == 404


@pytest.mark.parametrize(
    ("fields", "secret"),
    [
        ({"provider": "gemini", "api_key": "AIza-key"}, "AIza-key"),
        ({"provider": "vertex", "service_account": {"type": "service_account"}}, '{"type":"service_account"}'),
        ({"provider": "vertex", "service_account": '{"a": 1}'}, '{"a": 1}'),
        ({"st": " padded \n"}, "padded"),
    ],
)
async def test_each_provider_has_its_secret(
    admin: httpx.AsyncClient, world: Any, fields: dict[str, Any], secret: str
) -> None:
    assert (await admin.post("/admin/tokens", json=fields)).status_code == 200
    assert world.tokens.secrets[1] == secret


@pytest.mark.parametrize(
    ("fields", "status", "param"),
    [
        ({}, 400, "st"),
        ({"st": ""}, 400, "st"),
        ({"st": "dead"}, 400, "st"),
        ({"provider": "gemini", "api_key": "dead"}, 400, "api_key"),
        ({"provider": "gemini", "st": "x"}, 400, "api_key"),
        ({"provider": "other", "st": "x"}, 400, "provider"),
        ({"st": "x", "image_concurrency": -2}, 400, "image_concurrency"),
        ({"st": 7}, 400, "st"),
    ],
)
async def test_a_wrong_token_names_its_field(
    admin: httpx.AsyncClient, fields: dict[str, Any], status: int, param: str
) -> None:
    response = await admin.post("/admin/tokens", json=fields)
    assert (response.status_code, response.json()["error"]["param"]) == (status, param)


async def test_the_same_secret_twice_is_a_conflict(admin: httpx.AsyncClient) -> None:
    await admin.post("/admin/tokens", json={"st": "abcd"})
    again = await admin.post("/admin/tokens", json={"st": "abcd"})
    assert (again.status_code, again.json()["error"]["code"]) == (409, "already_exists")


async def test_a_tokens_own_proxy_is_set_and_taken_away(admin: httpx.AsyncClient, world: Any) -> None:
    await admin.post("/admin/tokens", json={"st": "abcd"})
    await admin.put("/admin/tokens/1", json={"proxy_url": "socks5://u:p@host:1"})
    await admin.put("/admin/tokens/1", json={"proxy_url": ""})
    assert [update.proxy_url for update in world.tokens.updates] == ["socks5://u:p@host:1", ""]


async def test_projects_of_a_token_are_added_chosen_and_removed(admin: httpx.AsyncClient) -> None:
    made = (await admin.post("/admin/tokens/1/projects", json={})).json()
    given = (await admin.post("/admin/tokens/1/projects", json={"project_id": "p", "project_name": "mine"})).json()
    assert (made["project_id"], given["project_name"], given["is_current"]) == ("made-0", "mine", False)

    assert (await admin.post("/admin/tokens/1/projects/p/activate")).json()["is_current"]
    assert not (await admin.post("/admin/tokens/1/projects/made-0/deactivate")).json()["is_active"]
    assert (await admin.delete("/admin/tokens/1/projects/made-0")).json()["deleted"]

    assert [each["project_id"] for each in (await admin.get("/admin/tokens/1/projects")).json()] == ["p"]
    assert (await admin.delete("/admin/tokens/1/projects/made-0")).status_code == 404


async def test_a_new_secret_is_put_under_the_mask(admin: httpx.AsyncClient, world: Any) -> None:
    await admin.post("/admin/tokens", json={"st": "abcd"})
    await admin.put("/admin/tokens/1", json={"st": "efgh"})
    assert world.tokens.updates[0].secret == "efgh"


@pytest.mark.parametrize("token_id", ["99", "x", "-1", "1" * 30])
async def test_an_unknown_token_is_404(admin: httpx.AsyncClient, token_id: str) -> None:
    response = await admin.post(f"/admin/tokens/{token_id}/enable")
    assert (response.status_code, response.json()["error"]["code"]) == (404, "token_not_found")


async def test_keys_are_made_listed_and_revoked(admin: httpx.AsyncClient, world: Any) -> None:
    made = (await admin.post("/admin/keys", json={"name": "app", "max_concurrency": 4})).json()
    assert (made["key"], made["name"]) == ("sk-new-secret", "app")
    assert world.access.created[0].max_concurrency == 4
    listed = await admin.get("/admin/keys")
    assert [key["id"] for key in listed.json()] == ["key_1", "key_2"]
    assert "sk-new-secret" not in listed.text
    assert (await admin.delete("/admin/keys/key_1")).json()["is_active"] is False
    assert (await admin.delete("/admin/keys/key_9")).status_code == 404


async def test_a_key_without_a_name_is_refused(admin: httpx.AsyncClient) -> None:
    response = await admin.post("/admin/keys", json={"name": ""})
    assert (response.status_code, response.json()["error"]["param"]) == (400, "name")


async def test_what_a_key_may_do_is_chosen(admin: httpx.AsyncClient, world: Any) -> None:
    await admin.post(
        "/admin/keys",
        json={
            "name": "app",
            "weight": 3,
            "requests_per_minute": 60,
            "daily_credit_budget": 5_000_000_000,
            "daily_budget_usd": 12.345678,
            "allowed_models": ["veo-*"],
            "expires_at": 2_000_000_000,
        },
    )
    (made,) = world.access.created
    assert (made.weight, made.requests_per_minute, made.daily_credit_budget) == (3, 60, 5_000_000_000)
    assert made.daily_budget_micro_usd == 12_345_678
    assert list(made.allowed_models) == ["veo-*"]
    assert made.expire_time.seconds == 2_000_000_000


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
async def test_a_key_is_changed_where_the_body_says_so(admin: httpx.AsyncClient, world: Any, method: str) -> None:
    body = {"name": "renamed", "requests_per_minute": -1, "allowed_models": [], "expires_at": None}
    answer = await admin.request(method, "/admin/keys/key_1", json=body)
    assert (answer.status_code, answer.json()["name"]) == (200, "renamed")
    (update,) = world.access.updates
    assert sorted(update.update_mask.paths) == ["allowed_models", "expire_time", "name", "requests_per_minute"]
    assert update.api_key.api_key_id == "key_1"
    assert update.api_key.requests_per_minute == -1
    assert not update.api_key.HasField("expire_time")


@pytest.mark.parametrize(
    ("body", "param"),
    [({}, None), ({"weight": "many"}, "weight"), ({"weight": 2**40}, "weight"), ({"expires_at": 1}, "expires_at")],
)
async def test_a_wrong_change_of_a_key_names_its_field(
    admin: httpx.AsyncClient, body: dict[str, Any], param: str | None
) -> None:
    response = await admin.patch("/admin/keys/key_1", json=body)
    assert (response.status_code, response.json()["error"]["param"]) == (400, param)


async def test_a_key_is_read(admin: httpx.AsyncClient) -> None:
    assert (await admin.get("/admin/keys/key_1")).json()["weight"] == 3
    assert (await admin.get("/admin/keys/key_9")).status_code == 404


async def test_administrators_are_listed_made_and_removed(admin: httpx.AsyncClient) -> None:
    listed = (await admin.get("/admin/admins")).json()
    assert [each["username"] for each in listed] == ["a1", "a2"]
    made = await admin.post("/admin/admins", json={"username": "new", "password": "long enough"})
    assert (made.status_code, made.json()["id"]) == (200, "3")
    assert "long enough" not in made.text
    assert (await admin.delete("/admin/admins/2")).status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "code"),
    [
        ("POST", "/admin/admins", {"username": "taken", "password": "long enough"}, 409, "already_exists"),
        ("POST", "/admin/admins", {"username": "new", "password": "short"}, 400, "invalid_value"),
        ("POST", "/admin/admins", {"username": "new"}, 400, "missing_required_parameter"),
        ("DELETE", "/admin/admins/1", None, 400, "last_admin"),
        ("POST", "/admin/admins/9/password", {"new_password": "long enough"}, 404, "admin_not_found"),
        ("DELETE", "/admin/sessions/session_9", None, 404, "session_not_found"),
        ("POST", "/admin/password", {"old_password": "wrong", "new_password": "long enough"}, 401, "invalid_login"),
    ],
)
async def test_refusals_about_administrators(
    admin: httpx.AsyncClient, method: str, path: str, body: Any, status: int, code: str
) -> None:
    response = await admin.request(method, path, json=body)
    assert (response.status_code, response.json()["error"]["code"]) == (status, code)


async def test_own_password_is_changed(admin: httpx.AsyncClient) -> None:
    body = {"old_password": "right-password", "new_password": "long enough"}
    assert (await admin.post("/admin/password", json=body)).json() == {"success": True}


async def test_sessions_are_listed_and_ended(admin: httpx.AsyncClient, world: Any) -> None:
    listed = (await admin.get("/admin/sessions")).json()
    assert [(each["id"], each["is_current"]) for each in listed] == [("session_1", True), ("session_2", False)]
    assert (await admin.delete("/admin/sessions/session_1")).status_code == 200
    assert (await admin.delete("/admin/sessions")).json()["ended"] == 5
    await admin.delete("/admin/sessions?admin_id=7&keep_current=false")
    others, everything = world.access.revocations
    assert (others.admin_id, others.except_session_id) == ("", "session_1")
    assert (everything.admin_id, everything.except_session_id) == ("7", "")


async def test_login_tells_the_program(client: httpx.AsyncClient, world: Any) -> None:
    await client.post(
        "/admin/login", json={"username": "admin", "password": "right-password"}, headers={"user-agent": "curl/8"}
    )
    assert world.access.logins[0].user_agent == "curl/8"


async def test_stats_jobs_and_logs(admin: httpx.AsyncClient, client: httpx.AsyncClient, world: Any) -> None:
    await client.post(
        "/v1/videos",
        json={"model": "veo-3.1-fast", "prompt": "waves"},
        headers={"authorization": "Bearer sk-good-key-0123456789"},
    )
    stats = (await admin.get("/admin/stats")).json()
    assert (stats["total_tokens"], stats["videos_by_state"], stats["total_credits"]) == (0, {"queued": 1}, 7)
    jobs = (await admin.get("/admin/jobs?limit=5")).json()
    assert [(job["id"], job["state"], job["api_key_id"]) for job in jobs] == [("video_1", "queued", "key_1")]
    await world.generation.change_video("video_1", usage=image_pb2.Usage(input_tokens=12, output_tokens=46_336))
    assert (await admin.get("/admin/jobs/video_1")).json()["usage"]["total_tokens"] == 46_348
    logs = await admin.get("/admin/logs")
    assert (logs.json()[0]["outcome"], logs.headers["x-next-page-token"]) == ("ok", "older")
    assert (await admin.get("/admin/jobs?state=nope")).json()["error"]["param"] == "state"


async def test_image_jobs_are_listed_and_read_beside_those_of_videos(
    admin: httpx.AsyncClient, client: httpx.AsyncClient, world: Any
) -> None:
    created = await client.post(
        "/v1/images/generations",
        json={"model": "gemini-3.1-flash-image", "prompt": "a pier", "n": 2},
        headers={"authorization": "Bearer sk-good-key-0123456789", "prefer": "respond-async"},
    )
    (job,) = (await admin.get("/admin/jobs", params={"kind": "image", "state": "queued", "limit": 5})).json()
    assert (job["id"], job["state"], job["n"], job["api_key_id"]) == (created.json()["id"], "queued", 2, "key_1")
    assert world.generation.job_listings[-1].api_key_id == ""
    assert (await admin.get("/admin/jobs")).json() == []
    assert (await admin.get(f"/admin/jobs/{job['id']}")).json()["attempts"] == []
    for query, param in (
        ("kind=sound", "kind"),
        ("kind=image&state=upscaling", "state"),
        ("kind=image&limit=x", "limit"),
    ):
        refused = await admin.get(f"/admin/jobs?{query}")
        assert (refused.status_code, refused.json()["error"]["param"]) == (400, param)


async def test_job_tells_each_attempt_with_its_account(
    admin: httpx.AsyncClient, client: httpx.AsyncClient, world: Any
) -> None:
    await client.post(
        "/v1/videos",
        json={"model": "veo-3.1-fast", "prompt": "waves"},
        headers={"authorization": "Bearer sk-good-key-0123456789"},
    )
    added = await admin.post("/admin/tokens", json={"provider": "gemini", "api_key": "k" * 30, "remark": "spare"})
    attempt = attempt_pb2.Attempt(provider="vertex", upstream_model="veo", token_id=99, outcome="model_not_here")
    world.generation.attempts["video_1"] = [
        attempt,
        attempt_pb2.Attempt(provider="gemini", upstream_model="veo", token_id=added.json()["id"], outcome="accepted"),
    ]
    job = (await admin.get("/admin/jobs/video_1")).json()
    assert job["state"] == "queued"
    assert [(each["outcome"], each["remark"]) for each in job["attempts"]] == [
        ("model_not_here", None),
        ("accepted", "spare"),
    ]
    assert (await admin.get("/admin/jobs/video_2")).status_code == 404
    assert (await admin.get("/admin/logs/gen9/attempts")).json() == []
