"""Every way in which the sandbox can break, on each provider."""

import dataclasses
from datetime import timedelta

import pytest

from flow2api_testing.waiting import eventually
from flow2api_upstream.flow.provider import FlowProvider
from flow2api_upstream.gemini.provider import GeminiProvider
from flow2api_upstream.http import HttpClient
from flow2api_upstream.port import (
    FailureClass as F,
)
from flow2api_upstream.port import (
    ImageCall,
    OperationState,
    UpstreamFailure,
    VideoCall,
    VideoKind,
)
from flow2api_upstream.vertex.provider import VertexProvider

IMAGE_MODELS = {"flow": "NARWHAL", "gemini": "gemini-3.1-flash-image", "vertex": "gemini-3.1-flash-image"}
VIDEO_MODELS = {
    "flow": "veo_3_1_t2v_fast",
    "gemini": "gemini-omni-1.1-flash",
    "vertex": "veo-3.1-fast-generate-001",
}
PROVIDERS = {"flow": FlowProvider, "gemini": GeminiProvider, "vertex": VertexProvider}


def image_call(provider, mark):
    return ImageCall(IMAGE_MODELS[provider.name], f"a cat {mark}", "1:1", "1K", 1)


def video_call(provider, mark):
    return VideoCall(VIDEO_MODELS[provider.name], VideoKind.TEXT, f"waves {mark}", "16:9", 8, "720p", 1)


async def image_failure(provider, account, mark):
    with pytest.raises(UpstreamFailure) as raised:
        await provider.generate_image(account, image_call(provider, mark))
    return raised.value


async def video_failure(provider, account, mark):
    with pytest.raises(UpstreamFailure) as raised:
        await provider.submit_video(account, video_call(provider, mark))
    return raised.value


REFUSALS = [
    ("400", {"flow": F.BAD_INPUT, "gemini": F.BAD_INPUT, "vertex": F.BAD_INPUT}),
    ("401", {"flow": F.AUTH, "gemini": F.AUTH, "vertex": F.AUTH}),
    ("403", {"flow": F.FORBIDDEN, "gemini": F.FORBIDDEN, "vertex": F.FORBIDDEN}),
    ("404", {"flow": F.MODEL_GONE, "gemini": F.MODEL_GONE, "vertex": F.MODEL_NOT_HERE}),
    ("413", {"flow": F.BAD_INPUT, "gemini": F.BAD_INPUT, "vertex": F.BAD_INPUT}),
    ("429", {"flow": F.THROTTLED, "gemini": F.THROTTLED, "vertex": F.THROTTLED}),
    ("500", {"flow": F.UPSTREAM, "gemini": F.UPSTREAM, "vertex": F.UPSTREAM}),
    ("503", {"flow": F.UPSTREAM, "gemini": F.UPSTREAM, "vertex": F.UPSTREAM}),
    ("verification", {"flow": F.VERIFICATION, "gemini": F.FORBIDDEN, "vertex": F.FORBIDDEN}),
    ("tier", {"flow": F.TIER, "gemini": F.FORBIDDEN, "vertex": F.FORBIDDEN}),
    ("credits", {"flow": F.CREDITS, "gemini": F.CREDITS, "vertex": F.FORBIDDEN}),
    ("quota_model", {"flow": F.QUOTA_MODEL, "gemini": F.QUOTA_MODEL, "vertex": F.QUOTA_MODEL}),
    ("content", {"flow": F.CONTENT, "gemini": F.CONTENT, "vertex": F.CONTENT}),
]


@pytest.mark.parametrize(("kind", "expected"), REFUSALS, ids=[kind for kind, _ in REFUSALS])
async def test_refusal_is_classified_and_nothing_was_accepted(provider, account, kind, expected):
    for failure in (
        await image_failure(provider, account, f"[[fault:{kind}]]"),
        await video_failure(provider, account, f"[[fault:{kind}]]"),
    ):
        assert failure.failure_class is expected[provider.name]
        assert not failure.may_have_been_accepted


async def test_retry_delay_of_429_is_kept(provider, account):
    failure = await video_failure(provider, account, "[[fault:429 retry_after=7]]")
    assert failure.retry_after == timedelta(seconds=7)


@pytest.mark.parametrize("kind", ["reset", "lost_answer", "truncated"])
async def test_cut_submission_may_have_been_accepted(provider, account, kind):
    failure = await video_failure(provider, account, f"[[fault:{kind}]]")
    assert failure.failure_class is F.NETWORK
    assert failure.may_have_been_accepted


async def test_lost_answer_is_submitted_once_although_connections_are_kept(provider, account, sandbox):
    await provider.probe(account)
    mark = "[[fault:lost_answer]]"
    await video_failure(provider, account, mark)
    prompts = sandbox.world.ledger.as_json()["submissions"]
    assert prompts[f"waves {mark}"]["seen"] == 1


async def test_picture_is_asked_for_once_when_its_answer_is_lost(provider, account, sandbox):
    await provider.probe(account)
    mark = "[[fault:lost_answer]]"
    await image_failure(provider, account, mark)
    assert sandbox.world.ledger.as_json()["submissions"][f"a cat {mark}"]["seen"] == 1


async def test_malformed_submission_may_have_been_accepted(provider, account):
    failure = await video_failure(provider, account, "[[fault:malformed]]")
    assert failure.failure_class is F.UPSTREAM
    assert failure.may_have_been_accepted


async def test_hanging_submission_times_out_and_may_have_been_accepted(provider_name, patient_settings, account):
    short = {"video_submit_timeout": timedelta(milliseconds=400), "image_timeout": timedelta(milliseconds=400)}
    settings = patient_settings.model_copy(update=short)
    provider = PROVIDERS[provider_name](settings, HttpClient(settings))
    failure = await video_failure(provider, account, "[[fault:hang]]")
    assert (failure.failure_class, failure.timed_out, failure.may_have_been_accepted) == (F.NETWORK, True, True)
    failure = await image_failure(provider, account, "[[fault:hang]]")
    assert (failure.failure_class, failure.timed_out) == (F.NETWORK, True)
    await provider.aclose()


@pytest.mark.parametrize("kind", ["reset", "lost_answer", "truncated", "malformed"])
async def test_picture_whose_answer_broke_is_told(provider, account, kind):
    failure = await image_failure(provider, account, f"[[fault:{kind}]]")
    assert failure.failure_class in {F.NETWORK, F.UPSTREAM}


async def test_empty_picture_answer(provider, account):
    failure = await image_failure(provider, account, "[[fault:empty]]")
    assert failure.failure_class in {F.CONTENT, F.UPSTREAM}


async def test_slow_answer_is_waited_for(provider, account):
    assert await provider.generate_image(account, image_call(provider, "[[fault:slow delay=0.3]]"))


async def test_dead_upstream_was_not_asked(provider_name, patient_settings, account, unused_tcp_port):
    url = f"http://127.0.0.1:{unused_tcp_port}"
    everywhere = dict.fromkeys(("flow_api_url", "flow_labs_url", "gemini_url", "vertex_url"), url)
    settings = patient_settings.model_copy(update=everywhere)
    provider = PROVIDERS[provider_name](settings, HttpClient(settings))
    failure = await video_failure(provider, account, "")
    await provider.aclose()
    assert failure.failure_class is F.NETWORK
    assert not failure.may_have_been_accepted


async def test_failed_clip_is_classified(provider, account):
    status = await look_until(provider, account, "[[fault:fail]]", {OperationState.FAILED})
    assert status.failure.failure_class in {F.CONTENT, F.UPSTREAM}
    assert status.media is None


@pytest.mark.parametrize(
    ("provider_name", "reason"), [("flow", "PUBLIC_ERROR_MINOR"), ("gemini", "safety")], indirect=["provider_name"]
)
async def test_clip_refused_for_its_content(provider, account, reason):
    status = await look_until(provider, account, f"[[fault:fail reason={reason}]]", {OperationState.FAILED})
    assert (status.failure.failure_class, status.failure.reason) == (F.CONTENT, reason)


async def test_error_status_is_a_failure(provider, account):
    status = await look_until(provider, account, "[[fault:error_status]]", {OperationState.FAILED})
    assert status.failure.failure_class in {F.UPSTREAM, F.CONTENT}


async def test_endless_clip_stays_unfinished(provider, account):
    submission = await provider.submit_video(account, video_call(provider, "[[fault:active]]"))
    for _ in range(3):
        status = (await provider.check_videos(account, [submission.operation]))[submission.operation]
        assert status.state in {OperationState.PENDING, OperationState.ACTIVE}


async def test_operation_left_out_is_missing_and_comes_back(provider, account):
    submission = await provider.submit_video(account, video_call(provider, "[[fault:missing answers=1]]"))
    first = (await provider.check_videos(account, [submission.operation]))[submission.operation]
    second = (await provider.check_videos(account, [submission.operation]))[submission.operation]
    assert (first.state, second.state) == (OperationState.MISSING, OperationState.SUCCEEDED)


async def test_unknown_operation_does_not_spoil_the_others(provider, account):
    good = (await provider.submit_video(account, video_call(provider, ""))).operation
    other = (await provider.submit_video(account, video_call(provider, ""))).operation
    known = {"flow": '"name":"', "gemini": "v1_", "vertex": "/operations/"}[provider.name]
    start = other.index(known) + len(known)
    bad = other[:start] + "00000000" + other[start + 8 :]
    statuses = await provider.check_videos(account, [bad, good])
    assert statuses[good].state is OperationState.SUCCEEDED
    assert statuses[bad].state is OperationState.MISSING


@pytest.mark.parametrize("provider_name", ["flow", "gemini"], indirect=True)
async def test_file_that_is_late_is_media_gone_at_first(provider, account):
    status = await look_until(
        provider, account, "[[fault:media_404 answers=2]]", {OperationState.SUCCEEDED, OperationState.FAILED}
    )
    with pytest.raises(UpstreamFailure) as raised:
        async with provider.fetch_video(account, status.media):
            pass
    assert raised.value.failure_class is F.MEDIA_GONE

    async def fetched():
        async with provider.fetch_video(account, status.media) as stream:
            return b"".join([chunk async for chunk in stream.chunks])

    assert (await eventually(fetched))[4:8] == b"ftyp"


@pytest.mark.parametrize("kind", ["429", "401", "500"])
async def test_trouble_of_a_status_call_is_raised(provider, account, add_fault, kind):
    operation = (await provider.submit_video(account, video_call(provider, ""))).operation
    add_fault(kind, route="flow.status")
    add_fault(kind, route="gemini.interaction_get")
    add_fault(kind, route="vertex.operation")
    with pytest.raises(UpstreamFailure) as raised:
        await provider.check_videos(account, [operation])
    assert raised.value.failure_class is {"429": F.THROTTLED, "401": F.AUTH, "500": F.UPSTREAM}[kind]


async def test_status_call_that_is_throttled_keeps_its_delay(provider, account, add_fault):
    operation = (await provider.submit_video(account, video_call(provider, ""))).operation
    for route in ("flow.status", "gemini.interaction_get", "vertex.operation"):
        add_fault("429", route=route, retry_after=7)
    with pytest.raises(UpstreamFailure) as raised:
        await provider.check_videos(account, [operation])
    assert raised.value.retry_after == timedelta(seconds=7)


async def test_failures_never_show_a_secret(provider, account):
    marked = dataclasses.replace(account, bearer="hidden-bearer", session_token="hidden-st")
    failure = await image_failure(provider, marked, "")
    assert "hidden" not in f"{failure!r} {failure.message} {failure.reason}"


async def look_until(provider, account, mark, states):
    submission = await provider.submit_video(account, video_call(provider, mark))

    async def look():
        status = (await provider.check_videos(account, [submission.operation]))[submission.operation]
        return status if status.state in states else None

    return await eventually(look)
