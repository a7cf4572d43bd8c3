"""What every provider promises, run on each of them against the sandbox."""

import dataclasses
import io

import pytest
from PIL import Image

from flow2api_testing.waiting import eventually
from flow2api_upstream.port import (
    AccountTier,
    FailureClass,
    ImageCall,
    OperationState,
    SourceImage,
    UpstreamFailure,
    VideoCall,
    VideoKind,
)

IMAGE_MODELS = {"flow": "NARWHAL", "gemini": "gemini-3.1-flash-image", "vertex": "gemini-3.1-flash-image"}
FLOW_KEYS = {
    VideoKind.TEXT: "veo_3_1_t2v_fast",
    VideoKind.FIRST_FRAME: "veo_3_1_i2v_s_fast",
    VideoKind.FIRST_AND_LAST_FRAME: "veo_3_1_i2v_s_fast_fl",
    VideoKind.REFERENCES: "veo_3_1_r2v_fast_landscape",
    VideoKind.EXTEND: "veo_3_1_extend_landscape",
    VideoKind.UPSCALE: "veo_3_1_upsampler_1080p",
}
IMAGE_COUNTS = {VideoKind.FIRST_FRAME: 1, VideoKind.FIRST_AND_LAST_FRAME: 2, VideoKind.REFERENCES: 3}
FINAL = {OperationState.SUCCEEDED, OperationState.FAILED}


def picture(size=(64, 64)):
    file = io.BytesIO()
    Image.new("RGB", size, "teal").save(file, "PNG")
    return SourceImage(file.getvalue(), "image/png")


def image_call(provider, prompt="a lighthouse", *, references=(), ratio="16:9"):
    return ImageCall(IMAGE_MODELS[provider.name], prompt, ratio, "1K", 42, references)


def video_call(provider, kind=VideoKind.TEXT, prompt="waves", images=(), source=None):
    models = {"flow": FLOW_KEYS[kind], "gemini": "gemini-omni-1.1-flash", "vertex": "veo-3.1-fast-generate-001"}
    model = models[provider.name]
    resolution = "1080p" if kind is VideoKind.UPSCALE else "720p"
    return VideoCall(model, kind, prompt, "16:9", 8, resolution, 7, images, source)


async def read(stream_context):
    async with stream_context as stream:
        return b"".join([chunk async for chunk in stream.chunks]), stream


async def finished(provider, account, operation):
    async def look():
        status = (await provider.check_videos(account, [operation]))[operation]
        return status if status.state in FINAL else None

    return await eventually(look)


async def made_clip(provider, account, **options):
    submission = await provider.submit_video(account, video_call(provider, **options))
    return (await finished(provider, account, submission.operation)).media


async def picture_of(provider, account, result):
    if result.data is not None:
        return result.data
    data, _ = await read(provider.fetch_url(account, result.url))
    return data


async def test_refresh_gives_a_bearer_that_the_probe_proves(provider, account, secret):
    grant = await provider.refresh(secret)
    assert grant.bearer
    assert (grant.expire_time is not None) is provider.capabilities.refreshes
    state = await provider.probe(account)
    assert (state.credits is not None) is provider.capabilities.has_credits
    assert (state.tier is not AccountTier.UNSPECIFIED) is provider.capabilities.has_credits


async def test_project_is_made_where_there_are_projects(provider, account):
    if provider.capabilities.has_projects:
        project = await provider.create_project(account, "gateway 1")
        assert (project.title, bool(project.project_id)) == ("gateway 1", True)
    else:
        with pytest.raises(UpstreamFailure) as raised:
            await provider.create_project(account, "gateway 1")
        assert raised.value.failure_class is FailureClass.BAD_INPUT


@pytest.mark.parametrize("ratio", ["16:9", "9:16", "1:1", "4:3", "3:4"])
async def test_picture_has_the_ratio_that_was_asked_for(provider, account, ratio):
    result = await provider.generate_image(account, image_call(provider, ratio=ratio))
    assert (result.data is None) is not (result.url is None)
    width, height = Image.open(io.BytesIO(await picture_of(provider, account, result))).size
    wanted_width, wanted_height = (int(side) for side in ratio.split(":"))
    assert width / height == pytest.approx(wanted_width / wanted_height, rel=0.05)


async def test_picture_from_references(provider, account):
    references = [await provider.upload_image(account, picture()) for _ in range(2)]
    result = await provider.generate_image(account, image_call(provider, references=references))
    assert await picture_of(provider, account, result)


async def test_upscale_enlarges_what_was_made_or_is_refused(provider, account):
    result = await provider.generate_image(account, image_call(provider))
    if not provider.capabilities.image_upscale:
        with pytest.raises(UpstreamFailure) as raised:
            await provider.upscale_image(account, result.handle, "2K")
        assert raised.value.failure_class is FailureClass.BAD_INPUT
        return
    before = Image.open(io.BytesIO(await picture_of(provider, account, result))).size
    larger = await provider.upscale_image(account, result.handle, "2K")
    assert larger.mime_type == "image/jpeg"
    assert Image.open(io.BytesIO(larger.data)).size == (before[0] * 2, before[1] * 2)


@pytest.mark.parametrize("kind", list(VideoKind))
async def test_clip_of_each_kind_is_made_and_fetched(provider, account, kind):
    if kind not in provider.capabilities.video_kinds:
        with pytest.raises(UpstreamFailure) as raised:
            await provider.submit_video(account, video_call(provider, kind))
        assert raised.value.failure_class is FailureClass.BAD_INPUT
        return
    images = [await provider.upload_image(account, picture()) for _ in range(IMAGE_COUNTS.get(kind, 0))]
    needs_source = kind in {VideoKind.EXTEND, VideoKind.UPSCALE}
    source = await made_clip(provider, account) if needs_source else None
    media = await made_clip(provider, account, kind=kind, images=images, source=source)
    data, stream = await read(provider.fetch_video(account, media))
    assert stream.content_type.startswith("video/mp4")
    assert stream.content_length in {None, len(data)}
    assert data[4:8] == b"ftyp"


async def test_many_clips_are_looked_at_together(provider, account, sandbox):
    operations = [
        (await provider.submit_video(account, video_call(provider, prompt=f"clip {number}"))).operation
        for number in range(5)
    ]
    statuses = await provider.check_videos(account, operations)
    assert set(statuses) == set(operations)
    assert all(status.operation == operation for operation, status in statuses.items())
    if provider.name == "flow":
        assert sandbox.world.ledger.as_json()["calls"]["flow.status"] == 1


async def test_no_operations_is_no_call(provider, account):
    assert await provider.check_videos(account, []) == {}


async def test_wrong_bearer_is_auth(provider, account):
    stranger = dataclasses.replace(account, bearer="nonsense")
    for call in (
        provider.probe(stranger),
        provider.generate_image(stranger, image_call(provider)),
        provider.submit_video(stranger, video_call(provider)),
    ):
        with pytest.raises(UpstreamFailure) as raised:
            await call
        assert raised.value.failure_class is FailureClass.AUTH


async def test_unknown_model_is_gone_or_bad_input(provider, account):
    call = ImageCall("no-such-model", "a cat", "1:1", "1K", 1)
    with pytest.raises(UpstreamFailure) as raised:
        await provider.generate_image(account, call)
    gone = {FailureClass.MODEL_GONE, FailureClass.MODEL_NOT_HERE, FailureClass.BAD_INPUT}
    assert raised.value.failure_class in gone


async def test_handle_of_another_provider_is_bad_input(provider, account):
    with pytest.raises(UpstreamFailure) as raised:
        await provider.check_videos(account, ['{"v":1,"provider":"other"}'])
    assert raised.value.failure_class is FailureClass.BAD_INPUT
