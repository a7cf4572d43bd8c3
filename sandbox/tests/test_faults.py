"""Every fault kind does what its name says, once asked for by a mark or a rule."""

import asyncio

import httpx
import pytest

from flow2api_sandbox.faults import Fault, FaultBook, FaultKind, FaultPlace, MarkError, read_marks
from flow2api_sandbox.server import running_sandbox
from flow2api_sandbox.settings import SandboxSettings

CUT = (httpx.ReadError, httpx.RemoteProtocolError)
ALL_KINDS = frozenset(FaultKind)


def reason_of(answer: httpx.Response) -> str | None:
    details = answer.json()["error"].get("details", [])
    return details[0]["reason"] if details else None


@pytest.mark.parametrize(
    ("mark", "status", "word", "reason"),
    [
        ("400", 400, "INVALID_ARGUMENT", None),
        ("401", 401, "UNAUTHENTICATED", None),
        ("403", 403, "PERMISSION_DENIED", None),
        ("404", 404, "NOT_FOUND", None),
        ("429", 429, "RESOURCE_EXHAUSTED", "PUBLIC_ERROR_USER_REQUESTS_THROTTLED"),
        ("429 reason=none", 429, "RESOURCE_EXHAUSTED", None),
        ("500", 500, "INTERNAL", None),
        ("503", 503, "UNAVAILABLE", None),
        ("verification", 403, "PERMISSION_DENIED", "PUBLIC_ERROR_UNUSUAL_ACTIVITY"),
        ("tier", 403, "PERMISSION_DENIED", "PUBLIC_ERROR_MODEL_ACCESS_DENIED"),
        ("credits", 429, "RESOURCE_EXHAUSTED", None),
        ("quota_model", 429, "RESOURCE_EXHAUSTED", "PUBLIC_ERROR_PER_MODEL_DAILY_QUOTA_REACHED"),
        ("quota_account", 429, "RESOURCE_EXHAUSTED", "PUBLIC_ERROR_USER_QUOTA_REACHED"),
        ("content", 400, "INVALID_ARGUMENT", "PUBLIC_ERROR_UNSAFE_GENERATION"),
        ("content reason=PUBLIC_ERROR_MINOR", 400, "INVALID_ARGUMENT", "PUBLIC_ERROR_MINOR"),
    ],
)
@pytest.mark.parametrize("call", ["images", "submit"])
async def test_refusal_comes_with_its_status_and_reason_and_charges_nothing(flow, call, mark, status, word, reason):
    prompt = f"x [[fault:{mark}]]"
    answer = await getattr(flow, call)(prompt)
    assert (answer.status_code, answer.json()["error"]["status"]) == (status, word)
    assert reason_of(answer) == reason
    assert flow.sandbox.world.ledger.submissions[prompt].accepted == 0
    assert await flow.credits() == 100_000


async def test_retry_after_is_a_header(flow):
    answer = await flow.images("x [[fault:429 retry_after=7]]")
    assert answer.headers["retry-after"] == "7"


async def test_mark_with_times_hits_only_so_often(flow):
    prompt = "x [[fault:500 times=2]]"
    assert [(await flow.images(prompt)).status_code for _ in range(3)] == [500, 500, 200]


async def test_lost_answer_is_executed_and_charged(flow):
    with pytest.raises(CUT):
        await flow.submit("x [[fault:lost_answer]]")
    assert await flow.credits() == 99_980
    assert flow.sandbox.world.ledger.submissions["x [[fault:lost_answer]]"].accepted == 1


async def test_reset_cuts_before_anything_happened(flow):
    with pytest.raises(CUT):
        await flow.submit("x [[fault:reset]]")
    assert await flow.credits() == 100_000


async def test_hang_never_answers(flow):
    with pytest.raises(httpx.ReadTimeout):
        await flow.api(
            f"/projects/{flow.project_id}/flowMedia:batchGenerateImages",
            flow.image_body("x [[fault:hang]]"),
            timeout=0.3,
        )


async def test_malformed_answer_is_no_json(flow):
    answer = await flow.images("x [[fault:malformed]]")
    assert answer.status_code == 200
    with pytest.raises(ValueError, match=r"."):
        answer.json()


async def test_truncated_answer_breaks_in_the_middle(flow):
    with pytest.raises(CUT):
        await flow.images("x [[fault:truncated]]")


async def test_truncated_file_breaks_in_the_middle(flow, http):
    clip = await flow.clip()
    url = (await flow.redirect(clip["name"])).headers["location"]
    await http.post(f"{flow.sandbox.control_url}/faults", json={"kind": "truncated", "route": "cdn", "times": 1})
    pieces: list[bytes] = []

    async def download() -> None:
        async with http.stream("GET", url) as answer:
            pieces.append(answer.headers["content-length"].encode())
            async for piece in answer.aiter_bytes():
                pieces.append(piece)  # noqa: PERF401 - what came before the cut must be kept

    with pytest.raises(CUT):
        await download()
    received = sum(len(piece) for piece in pieces[1:])
    assert 0 < received < int(pieces[0])
    assert (await http.get(url)).status_code == 200


@pytest.mark.parametrize("kind", ["slow", "delay"])
async def test_slow_answer_is_whole_in_the_end(flow, kind):
    answer = await flow.images(f"x [[fault:{kind} delay=0.1]]")
    assert answer.json()["media"]


async def test_empty_media_is_a_success_without_pictures(flow):
    answer = await flow.images("x [[fault:empty]]")
    assert (answer.status_code, answer.json()["media"]) == (200, [])


@pytest.mark.parametrize(
    ("mark", "status", "reason"),
    [
        ("fail", "MEDIA_GENERATION_STATUS_FAILED", "PUBLIC_ERROR_UNSAFE_GENERATION"),
        ("fail reason=PUBLIC_ERROR_AUDIO_FILTERED", "MEDIA_GENERATION_STATUS_FAILED", "PUBLIC_ERROR_AUDIO_FILTERED"),
        ("error_status", "MEDIA_GENERATION_STATUS_ERROR_UNKNOWN", "PUBLIC_ERROR_SOMETHING_WENT_WRONG"),
    ],
)
async def test_failed_clip_says_why_and_is_refunded(flow, mark, status, reason):
    clip = await flow.clip(f"x [[fault:{mark}]]")
    entry = (await flow.status(clip["name"])).json()["media"][0]["mediaMetadata"]["mediaStatus"]
    assert (entry["mediaGenerationStatus"], entry["failureReasons"]) == (status, [reason])
    assert await flow.credits() == 100_000
    assert flow.sandbox.world.ledger.refunded["sandbox-st-1"] == 20


async def test_missing_entry_comes_back_after_so_many_answers(flow):
    hidden = (await flow.clip("x [[fault:missing answers=2]]"))["name"]
    shown = (await flow.clip("y"))["name"]
    seen = [[each["name"] for each in (await flow.status(hidden, shown)).json()["media"]] for _ in range(3)]
    assert seen == [[shown], [shown], [hidden, shown]]


async def test_endless_clip_stays_active(open_flow, clock):
    flow = await open_flow(clock=clock, time_scale=1)
    name = (await flow.clip("x [[fault:active]]"))["name"]
    clock.advance(400)
    world, watch = flow.sandbox.world, flow.sandbox.world.watches()["sandbox-st-1"]
    world.settle(world.accounts["sandbox-st-1"])
    assert watch.running["video"] == 1
    clock.advance(2500)
    assert await flow.state(name) == "MEDIA_GENERATION_STATUS_ACTIVE"
    world.settle(world.accounts["sandbox-st-1"])
    assert watch.running["video"] == 0


async def test_file_is_not_there_at_first(flow):
    name = (await flow.clip("x [[fault:media_404]]"))["name"]
    assert [(await flow.redirect(name)).status_code for _ in range(3)] == [404, 404, 302]


async def test_mark_can_name_another_route(flow):
    prompt = "x [[fault:500 on=flow.status times=1]]"
    name = (await flow.clip(prompt))["name"]
    assert (await flow.status(name)).status_code == 500
    assert (await flow.status(name)).status_code == 200


async def test_mark_that_is_not_understood_is_a_bad_argument(flow):
    answer = await flow.images("x [[fault:nonsense]]")
    assert answer.status_code == 400
    assert "nonsense" in answer.json()["error"]["message"]


async def test_rule_is_made_counted_and_deleted_by_the_control_api(flow, http):
    url = f"{flow.sandbox.control_url}/faults"
    rule = {"kind": "503", "route": "flow.credits", "account": "sandbox-st-1"}
    made = (await http.post(url, json=rule)).json()
    assert (await flow.api("/credits")).status_code == 503
    assert (await http.get(url)).json()["faults"][0]["used"] == 1
    assert (await http.delete(f"{url}/{made['id']}")).status_code == 204
    assert (await flow.api("/credits")).status_code == 200
    assert (await http.delete(f"{url}/{made['id']}")).status_code == 404


async def test_rule_can_choose_its_words(flow, http):
    words = "reCAPTCHA evaluation failed"
    await http.post(f"{flow.sandbox.control_url}/faults", json={"kind": "429", "route": "flow.*", "message": words})
    answer = await flow.images("x")
    assert (answer.status_code, answer.json()["error"]["message"]) == (429, words)


async def test_rule_with_an_unknown_field_is_refused(flow, http):
    answer = await http.post(f"{flow.sandbox.control_url}/faults", json={"kind": "503", "rout": "x"})
    assert answer.status_code == 400


@pytest.mark.parametrize("route", ["flow.session", "flow.create_project"])
async def test_rule_hits_the_session_side_in_its_own_envelope(flow, http, route):
    await http.post(f"{flow.sandbox.control_url}/faults", json={"kind": "500", "route": route})
    call = {
        "flow.session": ("GET", "/auth/session", None),
        "flow.create_project": (
            "POST",
            "/trpc/project.createProject",
            {"json": {"projectTitle": "t", "toolName": "PINHOLE"}},
        ),
    }[route]
    answer = await flow.labs(*call)
    assert answer.json()["error"]["json"]["data"]["httpStatus"] == 500


async def test_project_can_come_without_its_id(flow, http):
    await http.post(f"{flow.sandbox.control_url}/faults", json={"kind": "empty", "route": "flow.create_project"})
    body = {"json": {"projectTitle": "t", "toolName": "PINHOLE"}}
    answer = await flow.labs("POST", "/trpc/project.createProject", body)
    assert answer.json()["result"]["data"]["json"] == {"result": {}, "status": 200}


@pytest.mark.parametrize(
    ("mark", "expected"),
    [
        ("content", {"promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}}),
        ("content reason=JAILBREAK", {"promptFeedback": {"blockReason": "JAILBREAK"}}),
    ],
)
async def test_gemini_blocks_the_prompt(sandbox, http, mark, expected):
    answer = await ask_gemini(sandbox, http, mark)
    assert expected.items() <= answer.json().items()
    assert "candidates" not in answer.json()


async def test_gemini_blocks_the_output_or_only_chats(sandbox, http):
    failed = (await ask_gemini(sandbox, http, "fail reason=NO_IMAGE")).json()["candidates"][0]
    assert failed["finishReason"] == "NO_IMAGE"
    assert "content" not in failed
    chat = (await ask_gemini(sandbox, http, "empty")).json()["candidates"][0]
    assert [set(part) for part in chat["content"]["parts"]] == [{"text"}]


async def test_gemini_interaction_fails_with_a_code_and_is_refunded(sandbox, http):
    body = {"model": "gemini-omni-1.1-flash", "input": "x [[fault:fail reason=safety]]", "background": True}
    headers = {"x-goog-api-key": "sandbox-key-2"}
    made = (await http.post(f"{sandbox.gemini_url}/v1beta/interactions", json=body, headers=headers)).json()
    got = (await http.get(f"{sandbox.gemini_url}/v1beta/interactions/{made['id']}", headers=headers)).json()
    assert (got["status"], got["errors"][0]["code"]) == ("failed", "safety")
    assert sandbox.world.ledger.refunded["sandbox-key-2"] == sandbox.world.ledger.charged["sandbox-key-2"] == 810_891


async def test_gemini_interaction_is_refused_with_a_word(sandbox, http):
    body = {"model": "gemini-omni-1.1-flash", "input": "x [[fault:429]]"}
    headers = {"x-goog-api-key": "sandbox-key-1"}
    answer = await http.post(f"{sandbox.gemini_url}/v1/interactions", json=body, headers=headers)
    assert (answer.status_code, answer.json()["error"]["code"]) == (429, "rate_limit_exceeded")


async def test_hung_request_does_not_keep_the_sandbox_from_stopping(http, until):
    async with asyncio.timeout(5):
        async with running_sandbox(SandboxSettings(port=0)) as sandbox:
            sandbox.world.faults.add(Fault(kind=FaultKind.HANG, route="flow.session"))
            hung = asyncio.create_task(http.get(f"{sandbox.flow_labs_url}/auth/session"))
            await until(lambda: sandbox.world.ledger.calls["flow.session"])
        with pytest.raises(httpx.TransportError):
            await hung


def test_marks_are_read_with_their_options():
    faults = read_marks("a [[fault:429 retry_after=1.5 times=2]] b [[fault:fail]]", "flow.images")
    assert [(fault.kind, fault.retry_after, fault.times) for fault in faults] == [
        (FaultKind.THROTTLED, 1.5, 2),
        (FaultKind.FAIL, None, None),
    ]


def test_marks_concern_generating_calls_unless_they_name_a_route():
    assert read_marks("[[fault:429]]", "flow.status") == []
    assert len(read_marks("[[fault:429 on=flow.s*]]", "flow.status")) == 1


@pytest.mark.parametrize("prompt", ["[[fault:429", "[[fault:429 foo=1]]", "[[fault:oops]]", "[[fault:]]"])
def test_unreadable_mark_is_an_error(prompt):
    with pytest.raises(MarkError):
        read_marks(prompt, "flow.images")


def test_rule_matches_route_account_and_prompt():
    book = FaultBook()
    book.add(Fault(kind=FaultKind.INTERNAL, route="flow.video_*", account="a", prompt="cat"))
    place = FaultPlace(route="flow.video_text", account="a", prompt="a cat")
    for change in ({"route": "flow.images"}, {"account": "b"}, {"prompt": "dog"}):
        assert book.take(place._replace(**change), kinds=ALL_KINDS) is None
    assert book.take(place, kinds=frozenset()) is None
    assert book.take(place, kinds=ALL_KINDS) is not None


def test_improbable_rule_hits_some_calls():
    book = FaultBook()
    book.add(Fault(kind=FaultKind.INTERNAL, probability=0.5))
    place = FaultPlace(route="x", account="a", prompt="")
    hits = [book.take(place, kinds=ALL_KINDS) is not None for _ in range(200)]
    assert 20 < sum(hits) < 180


async def ask_gemini(sandbox, http, mark: str) -> httpx.Response:
    return await http.post(
        f"{sandbox.gemini_url}/v1beta/models/gemini-3.1-flash-image:generateContent",
        json={"contents": [{"parts": [{"text": f"x [[fault:{mark}]]"}]}]},
        headers={"x-goog-api-key": "sandbox-key-1"},
    )
