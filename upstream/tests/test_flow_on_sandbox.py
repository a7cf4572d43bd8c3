"""What only Flow has: sessions that end, cookies that change, answers in old forms, three ways to a file."""

from dataclasses import replace

import pytest

from flow2api_sandbox.server import running_sandbox
from flow2api_sandbox.settings import SandboxSettings
from flow2api_testing.waiting import eventually
from flow2api_upstream.flow.concat import ClipPiece, check_join, start_join
from flow2api_upstream.flow.handles import FlowMedia, FlowOperation
from flow2api_upstream.flow.provider import FlowProvider
from flow2api_upstream.http import HttpClient
from flow2api_upstream.port import (
    Account,
    AccountTier,
    FailureClass,
    ImageCall,
    OperationState,
    Secret,
    SourceImage,
    UploadedImage,
    UpstreamFailure,
    VideoCall,
    VideoKind,
)

CLIP = VideoCall("veo_3_1_t2v_fast", VideoKind.TEXT, "waves", "16:9", 8, "720p", 1)
PICTURE = ImageCall("NARWHAL", "a cat", "1:1", "1K", 1)


def set_session(sandbox, state):
    from flow2api_sandbox.accounts import SessionState

    sandbox.world.accounts["sandbox-st-1"].session_state = SessionState(state)


@pytest.mark.parametrize(
    ("state", "reason"),
    [
        ("signed_out", "st_expired"),
        ("refresh_needed", "st_expired"),
        ("no_access_token", "no_access_token"),
        ("refused", "st_expired"),
        ("login_page", "st_refused"),
        ("html", "st_refused"),
    ],
)
async def test_dead_session_says_why(flow, sandbox, state, reason):
    set_session(sandbox, state)
    with pytest.raises(UpstreamFailure) as raised:
        await flow.refresh(Secret("sandbox-st-1"))
    assert (raised.value.failure_class, raised.value.reason) == (FailureClass.AUTH, reason)


async def test_unknown_session_is_expired(flow):
    with pytest.raises(UpstreamFailure) as raised:
        await flow.refresh(Secret("nobody"))
    assert raised.value.reason == "st_expired"


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("429", FailureClass.THROTTLED),
        ("500", FailureClass.UPSTREAM),
        ("503", FailureClass.UPSTREAM),
        ("404", FailureClass.UPSTREAM),
        ("400", FailureClass.UPSTREAM),
        ("malformed", FailureClass.UPSTREAM),
        ("reset", FailureClass.NETWORK),
        ("truncated", FailureClass.NETWORK),
    ],
)
async def test_trouble_on_refresh_proves_nothing_about_the_session(flow, add_fault, kind, expected):
    add_fault(kind, route="flow.session")
    with pytest.raises(UpstreamFailure) as raised:
        await flow.refresh(Secret("sandbox-st-1"))
    assert raised.value.failure_class is expected


async def test_renewed_cookie_is_kept_and_works(flow, sandbox):
    sandbox.world.accounts["sandbox-st-1"].rotate_session_token = True
    grant = await flow.refresh(Secret("sandbox-st-1"))
    assert grant.rotated_secret is not None
    assert grant.rotated_secret.value != "sandbox-st-1"
    assert (await flow.refresh(grant.rotated_secret)).email == grant.email


async def test_tier_and_credits_of_each_account(flow, flow_account_of):
    for session, tier in (("sandbox-st-1", AccountTier.ONE), ("sandbox-st-2", AccountTier.TWO)):
        state = await flow.probe(await flow_account_of(session))
        assert (state.tier, state.credits) == (tier, 100_000)


async def test_submission_tells_what_is_left(flow, flow_account):
    submission = await flow.submit_video(flow_account, CLIP)
    assert submission.remaining_credits == (await flow.probe(flow_account)).credits < 100_000


async def test_upscale_above_the_plan_is_a_matter_of_the_plan(flow, flow_account_of):
    account = await flow_account_of("sandbox-st-3")
    picture = await flow.generate_image(account, PICTURE)
    with pytest.raises(UpstreamFailure) as raised:
        await flow.upscale_image(account, picture.handle, "4K")
    assert raised.value.failure_class is FailureClass.TIER


async def test_account_that_must_be_verified_is_told_apart(flow, flow_account, sandbox):
    sandbox.world.accounts["sandbox-st-1"].verification_required = True
    with pytest.raises(UpstreamFailure) as raised:
        await flow.generate_image(flow_account, PICTURE)
    assert raised.value.failure_class is FailureClass.VERIFICATION


async def test_expired_access_token_is_auth(flow, flow_account, sandbox):
    sandbox.world.clock.advance(2 * 3600)
    with pytest.raises(UpstreamFailure) as raised:
        await flow.probe(flow_account)
    assert raised.value.failure_class is FailureClass.AUTH


@pytest.mark.parametrize("kind", ["empty", "401", "500"])
async def test_project_that_was_not_made_is_a_failure(flow, flow_account, add_fault, kind):
    add_fault(kind, route="flow.create_project")
    with pytest.raises(UpstreamFailure) as raised:
        await flow.create_project(flow_account, "x")
    assert raised.value.failure_class is (FailureClass.AUTH if kind == "401" else FailureClass.UPSTREAM)


async def test_upload_of_what_is_no_picture_is_bad_input(flow, flow_account):
    with pytest.raises(UpstreamFailure) as raised:
        await flow.upload_image(flow_account, SourceImage(b"text", "image/png"))
    assert raised.value.failure_class is FailureClass.BAD_INPUT


async def test_refused_upload_is_content(flow, flow_account, add_fault):
    add_fault("content", route="flow.upload", reason="PUBLIC_ERROR_MINOR_UPLOAD")
    with pytest.raises(UpstreamFailure) as raised:
        await flow.upload_image(flow_account, SourceImage(b"\x89PNG\r\n\x1a\n", "image/png"))
    assert raised.value.failure_class is FailureClass.CONTENT


async def test_media_of_another_account_is_gone(flow, flow_account, flow_account_of):
    other = await flow_account_of("sandbox-st-2")
    picture = await flow.generate_image(other, PICTURE)
    with pytest.raises(UpstreamFailure) as raised:
        await flow.upscale_image(flow_account, picture.handle, "2K")
    assert raised.value.failure_class is FailureClass.MEDIA_GONE


@pytest.mark.parametrize(
    ("broken", "expected_type"),
    [((), "video/mp4"), (("flow.media_redirect",), "video/mp4"), (("cdn",), "video/mp4")],
    ids=["redirect", "base64 without redirect", "base64 without the CDN"],
)
async def test_file_is_found_by_the_next_way(flow, flow_account, add_fault, broken, expected_type):
    media = await made_clip(flow, flow_account)
    for route in broken:
        add_fault("404", route=route)
    async with flow.fetch_video(flow_account, media) as stream:
        data = b"".join([chunk async for chunk in stream.chunks])
    assert data[4:8] == b"ftyp"
    assert stream.content_type.startswith(expected_type)
    assert (stream.content_length is None) is bool(broken)


async def test_dead_link_falls_back(flow, flow_account, sandbox):
    media = FlowMedia.read(await made_clip(flow, flow_account))
    dead = FlowMedia(name=media.name, project=media.project, url=f"{sandbox.base_url}/cdn/video/gone")
    async with flow.fetch_video(flow_account, dead.handle()) as stream:
        assert (await anext(stream.chunks))[4:8] == b"ftyp"


async def test_dead_bearer_is_told_when_no_way_works(flow, flow_account, add_fault):
    media = await made_clip(flow, flow_account)
    add_fault("404", route="flow.media_redirect")
    add_fault("401", route="flow.media")
    with pytest.raises(UpstreamFailure) as raised:
        async with flow.fetch_video(flow_account, media):
            pass
    assert raised.value.failure_class is FailureClass.AUTH


async def test_cut_download_is_a_network_failure(flow, flow_account, add_fault):
    media = await made_clip(flow, flow_account)
    add_fault("truncated", route="cdn")
    with pytest.raises(UpstreamFailure) as raised:
        await fetch_all(flow, flow_account, media)
    assert raised.value.failure_class is FailureClass.NETWORK


@pytest.mark.parametrize("answer_form", ["current", "old", "both"])
@pytest.mark.parametrize("status_has_url", [True, False])
async def test_every_answer_form_ends_with_a_file(upstream_settings, answer_form, status_has_url):
    options = SandboxSettings(port=0, time_scale=0, answer_form=answer_form, status_has_url=status_has_url)
    async with sandbox_provider(upstream_settings, options) as (provider, account):
        media = await made_clip(provider, account)
        assert (await fetch_all(provider, account, media))[4:8] == b"ftyp"
        extended = VideoCall("veo_3_1_extend_landscape", VideoKind.EXTEND, "on", "16:9", 8, "720p", 1, (), media)
        if answer_form != "old":
            assert await provider.submit_video(account, extended)


@pytest.mark.parametrize("upload_answer", ["media", "media_list"])
@pytest.mark.parametrize("image_delivery", ["fife_url", "encoded_image"])
async def test_every_picture_form_is_usable(upstream_settings, upload_answer, image_delivery):
    options = SandboxSettings(port=0, time_scale=0, upload_answer=upload_answer, image_delivery=image_delivery)
    async with sandbox_provider(upstream_settings, options) as (provider, account):
        first = await provider.generate_image(account, PICTURE)
        data = first.data or await fetch_url(provider, account, first.url)
        reference = await provider.upload_image(account, SourceImage(data, "image/png"))
        assert await provider.generate_image(account, ImageCall("NARWHAL", "it", "1:1", "1K", 2, [reference]))


async def test_clips_are_joined(flow, flow_account):
    from datetime import timedelta

    clips = [FlowMedia.read(await made_clip(flow, flow_account)).name for _ in range(2)]
    pieces = [
        ClipPiece(clips[0], timedelta(seconds=8)),
        ClipPiece(clips[1], timedelta(seconds=8), timedelta(seconds=1)),
    ]
    name = await start_join(flow._calls, flow_account, pieces)

    async def joined():
        status = await check_join(flow._calls, flow_account, name)
        return status if status.state is OperationState.SUCCEEDED else None

    status = await eventually(joined)
    assert status.url or status.encoded_video


def sandbox_provider(upstream_settings, options):
    from contextlib import asynccontextmanager

    @asynccontextmanager
    async def running():
        async with running_sandbox(options) as sandbox:
            urls = {"flow_labs_url": sandbox.flow_labs_url, "flow_api_url": sandbox.flow_api_url}
            settings = upstream_settings.model_copy(update=urls)
            provider = FlowProvider(settings, HttpClient(settings))
            grant = await provider.refresh(Secret("sandbox-st-1"))
            bare = Account(1, bearer=grant.bearer, session_token="sandbox-st-1", tier=AccountTier.ONE)
            project = await provider.create_project(bare, "t")
            account = Account(1, grant.bearer, "sandbox-st-1", project_id=project.project_id, tier=AccountTier.ONE)
            yield provider, account
            await provider.aclose()

    return running()


async def made_clip(provider, account):
    submission = await provider.submit_video(account, CLIP)

    async def look():
        status = (await provider.check_videos(account, [submission.operation]))[submission.operation]
        return status.media

    return await eventually(look)


async def fetch_all(provider, account, media):
    async with provider.fetch_video(account, media) as stream:
        return b"".join([chunk async for chunk in stream.chunks])


async def fetch_url(provider, account, url):
    async with provider.fetch_url(account, url) as stream:
        return b"".join([chunk async for chunk in stream.chunks])


@pytest.fixture
def project_gone(sandbox, flow_account):
    """The account's owner has deleted its project."""
    (account,) = [each for each in sandbox.world.accounts.values() if flow_account.project_id in each.projects]
    del account.projects[flow_account.project_id]


@pytest.mark.usefixtures("project_gone")
async def test_project_that_is_gone_is_told_from_a_model_that_is(flow, flow_account):
    png = SourceImage(b"\x89PNG\r\n\x1a\n", "image/png")
    for call in (
        flow.generate_image(flow_account, PICTURE),
        flow.submit_video(flow_account, CLIP),
        flow.upload_image(flow_account, png),
    ):
        with pytest.raises(UpstreamFailure) as raised:
            await call
        assert raised.value.failure_class is FailureClass.PROJECT_GONE
        assert not raised.value.may_have_been_accepted


async def test_proof_of_a_project_leaves_no_media(flow, flow_account, sandbox, add_fault):
    add_fault("404", route="flow.images")
    with pytest.raises(UpstreamFailure) as raised:
        await flow.generate_image(flow_account, PICTURE)

    assert raised.value.failure_class is FailureClass.MODEL_GONE
    assert sandbox.world.ledger.calls["flow.upload"] == 1
    assert not sandbox.world.assets


async def test_project_that_cannot_be_proved_is_not_blamed(flow, flow_account, add_fault):
    add_fault("404", route="flow.images")
    add_fault("403", route="flow.upload")
    with pytest.raises(UpstreamFailure) as raised:
        await flow.generate_image(flow_account, PICTURE)
    assert raised.value.failure_class is FailureClass.MODEL_GONE


async def test_media_are_used_in_their_own_project(flow, flow_account, sandbox):
    other = replace(flow_account, project_id=(await flow.create_project(flow_account, "other")).project_id)
    picture = await flow.generate_image(other, PICTURE)
    clip = await made_clip(flow, other)
    reference = UploadedImage(handle=picture.handle)

    again = await flow.generate_image(flow_account, replace(PICTURE, references=(reference,)))
    larger = await flow.upscale_image(flow_account, picture.handle, "2K")
    framed = await flow.submit_video(
        flow_account,
        replace(CLIP, upstream_model="veo_3_1_i2v_s_fast", kind=VideoKind.FIRST_FRAME, images=(reference,)),
    )
    extended = await flow.submit_video(
        flow_account, replace(CLIP, upstream_model="veo_3_1_extend_landscape", kind=VideoKind.EXTEND, source=clip)
    )

    assert FlowMedia.read(again.handle).project == other.project_id
    assert larger.data
    assert [FlowOperation.read(each.operation).project for each in (framed, extended)] == [other.project_id] * 2
    assert len(await flow.check_videos(flow_account, [framed.operation, extended.operation])) == 2
