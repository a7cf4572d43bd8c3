"""Sessions, access tokens, projects and credits of Flow over HTTP."""

import pytest

from flow2api_sandbox.accounts import SessionState


async def test_cookie_buys_a_bearer_that_reads_credits_and_tier(flow):
    answer = await flow.api("/credits")
    assert answer.json()["credits"] == 100_000
    assert answer.json()["userPaygateTier"] == "PAYGATE_TIER_ONE"


async def test_seed_accounts_cycle_through_the_tiers(sandbox):
    tiers = [account.tier_name for account in sandbox.world.accounts.values()]
    assert tiers == ["PAYGATE_TIER_ONE", "PAYGATE_TIER_TWO", "PAYGATE_TIER_NOT_PAID"]


async def test_bearer_stays_the_same_while_it_lives_and_dies_at_its_end(open_flow, clock):
    flow = await open_flow(clock=clock)
    before = flow.bearer
    await flow.refresh()
    assert flow.bearer == before
    clock.advance(3601)
    assert (await flow.api("/credits")).status_code == 401
    await flow.refresh()
    assert (await flow.api("/credits")).status_code == 200


async def test_control_api_expires_access_tokens(flow, http):
    answer = await http.post(f"{flow.sandbox.control_url}/expire-access-tokens", json={"account": "sandbox-st-1"})
    assert answer.json() == {"expired": 1}
    refusal = await flow.api("/credits")
    assert refusal.status_code == 401
    assert refusal.json()["error"]["status"] == "UNAUTHENTICATED"


async def test_stranger_gets_an_empty_session(flow):
    flow.session_token = "nobody"
    answer = await flow.labs("GET", "/auth/session")
    assert (answer.status_code, answer.json()) == (200, {})


async def test_cookie_in_numbered_pieces_is_put_together(sandbox, http):
    name = "__Secure-next-auth.session-token"
    cookie = f"{name}.0=sandbox; {name}.1=-st-1"
    answer = await http.get(f"{sandbox.flow_labs_url}/auth/session", headers={"cookie": cookie})
    assert answer.json()["user"]["name"] == "sandbox-st-1"


@pytest.mark.parametrize(
    ("state", "status", "members"),
    [
        (SessionState.SIGNED_OUT, 200, set()),
        (SessionState.REFRESH_NEEDED, 200, {"error", "access_token", "user"}),
        (SessionState.NO_ACCESS_TOKEN, 200, {"user"}),
        (SessionState.REFUSED, 401, {"error"}),
    ],
)
async def test_dead_session_looks_as_documented_and_kills_the_bearer(flow, http, state, status, members):
    body = {"session_token": "sandbox-st-1", "session_state": state}
    await http.post(f"{flow.sandbox.control_url}/accounts", json=body)
    answer = await flow.labs("GET", "/auth/session")
    assert answer.status_code == status
    assert set(answer.json()) == members
    assert (await flow.api("/credits")).status_code == 401


async def test_login_page_is_a_redirect_or_html(flow):
    account = flow.sandbox.world.accounts["sandbox-st-1"]
    account.session_state = SessionState.LOGIN_PAGE
    assert (await flow.labs("GET", "/auth/session")).status_code == 302
    account.session_state = SessionState.HTML
    assert (await flow.labs("GET", "/auth/session")).text.startswith("<!doctype html>")


async def test_renewed_cookie_works_beside_the_old_one(open_flow):
    flow = await open_flow(rotate_session_tokens=True)
    answer = await flow.labs("GET", "/auth/session")
    renewed = answer.cookies["__Secure-next-auth.session-token"]
    assert renewed != "sandbox-st-1"
    flow.http.cookies.clear()
    for token in (renewed, "sandbox-st-1"):
        flow.session_token = token
        assert (await flow.labs("GET", "/auth/session")).json()["user"]["name"] == "sandbox-st-1"
        flow.http.cookies.clear()


async def test_account_added_at_run_time_can_sign_in(flow, http):
    body = {"session_token": "late", "tier": "PAYGATE_TIER_TWO", "credits": 5}
    answer = await http.post(f"{flow.sandbox.control_url}/accounts", json=body)
    assert answer.json()["name"] == "late"
    flow.session_token = "late"
    await flow.open()
    assert await flow.credits() == 5


async def test_deleted_project_is_unknown(flow):
    body = {"json": {"projectToDeleteId": flow.project_id}}
    assert (await flow.labs("POST", "/trpc/project.deleteProject", body)).status_code == 200
    assert (await flow.images("x")).status_code == 404


async def test_labs_refuses_strangers_in_trpc_words(flow):
    flow.session_token = "nobody"
    answer = await flow.labs("POST", "/trpc/project.createProject", {"json": {}})
    assert answer.status_code == 401
    assert answer.json()["error"]["json"]["data"] == {"code": "UNAUTHORIZED", "httpStatus": 401}


async def test_model_list_shows_what_the_tier_may_use(flow, ultra):
    async def keys(client):
        answer = await client.labs("GET", "/trpc/videoFx.getVideoModelConfig")
        models = answer.json()["result"]["data"]["json"]["result"]["videoModels"]
        return {model["key"] for model in models}

    assert "veo_3_1_t2v_fast_ultra" in await keys(ultra)
    assert "veo_3_1_t2v_fast_ultra" not in await keys(flow)
