"""What Vertex alone does, and Veo on the Gemini API, against the sandbox."""

import dataclasses
import io
from datetime import timedelta

import pytest
from PIL import Image

from flow2api_sandbox.projects import GEMINI_API, Availability
from flow2api_testing.waiting import eventually
from flow2api_upstream.google.handles import GoogleMedia
from flow2api_upstream.http import HttpClient
from flow2api_upstream.port import FailureClass as F
from flow2api_upstream.port import (
    ImageCall,
    OperationState,
    SourceImage,
    UploadedImage,
    UpstreamFailure,
    VideoCall,
    VideoKind,
)
from flow2api_upstream.vertex.provider import VertexProvider

VEO = "veo-3.1-fast-generate-001"
OMNI = "gemini-omni-1.1-flash"
IMAGE = "gemini-3.1-flash-image"
FINAL = {OperationState.SUCCEEDED, OperationState.FAILED}


def picture(side):
    file = io.BytesIO()
    Image.new("RGB", (side, side), "teal").save(file, "PNG")
    return file.getvalue()


def clip(model, *, kind=VideoKind.TEXT, prompt="a kite", source=None):
    return VideoCall(model, kind, prompt, "16:9", 8, "720p", 7, source=source)


async def finished(provider, account, call):
    operation = (await provider.submit_video(account, call)).operation

    async def look():
        status = (await provider.check_videos(account, [operation]))[operation]
        return status if status.state in FINAL else None

    return await eventually(look)


async def clip_bytes(provider, account, media):
    async with provider.fetch_video(account, media) as stream:
        return b"".join([chunk async for chunk in stream.chunks])


@pytest.fixture
async def bucket_vertex(patient_settings):
    settings = patient_settings.model_copy(update={"vertex_storage_uri": "gs://sandbox-bucket-1/clips/"})
    provider = VertexProvider(settings, HttpClient(settings))
    yield provider
    await provider.aclose()


@pytest.mark.parametrize("model", [VEO, OMNI])
async def test_clip_goes_to_the_bucket_and_is_read_from_it(bucket_vertex, vertex_account, model):
    media = (await finished(bucket_vertex, vertex_account, clip(model))).media
    assert GoogleMedia.read("vertex", media).uri.startswith("gs://sandbox-bucket-1/clips/")
    assert (await clip_bytes(bucket_vertex, vertex_account, media))[4:8] == b"ftyp"


async def test_clip_of_a_bucket_is_extended_where_it_is(bucket_vertex, vertex_account):
    media = (await finished(bucket_vertex, vertex_account, clip(VEO))).media
    longer = await finished(bucket_vertex, vertex_account, clip(VEO, kind=VideoKind.EXTEND, source=media))
    assert longer.state is OperationState.SUCCEEDED


async def test_omni_clip_comes_inside_the_answer_without_a_bucket(vertex, vertex_account):
    media = (await finished(vertex, vertex_account, clip(OMNI))).media
    assert not GoogleMedia.read("vertex", media).uri
    assert (await clip_bytes(vertex, vertex_account, media))[4:8] == b"ftyp"


async def test_clip_of_another_model_cannot_be_extended_by_veo(vertex, vertex_account):
    media = GoogleMedia(interaction="v1_abc").handle("vertex")
    with pytest.raises(UpstreamFailure) as raised:
        await vertex.submit_video(vertex_account, clip(VEO, kind=VideoKind.EXTEND, source=media))
    assert raised.value.failure_class is F.BAD_INPUT


async def test_express_key_makes_a_picture_and_no_interaction(vertex, vertex_account):
    express = dataclasses.replace(vertex_account, bearer="key:sandbox-express-1", project_id="", location="global")
    assert (await vertex.generate_image(express, ImageCall(IMAGE, "a kite", "1:1", "1K", 1))).data
    with pytest.raises(UpstreamFailure) as raised:
        await vertex.submit_video(express, clip(OMNI))
    assert raised.value.failure_class is F.MODEL_NOT_HERE


@pytest.mark.parametrize("model", [IMAGE, VEO, OMNI])
async def test_location_without_a_model_is_told_from_a_model_that_is_gone(vertex, vertex_account, sandbox, model):
    sandbox.world.availability.add(Availability(model=model, location="us-central1", is_served=False))

    async def ask():
        if model == IMAGE:
            return await vertex.generate_image(vertex_account, ImageCall(model, "a kite", "1:1", "1K", 1))
        return await vertex.submit_video(vertex_account, clip(model))

    with pytest.raises(UpstreamFailure) as raised:
        await ask()
    assert raised.value.failure_class is F.MODEL_NOT_HERE
    assert "location" in raised.value.advice


async def test_daily_quota_lasts_until_midnight_pacific(vertex, vertex_account):
    with pytest.raises(UpstreamFailure) as raised:
        await vertex.generate_image(vertex_account, ImageCall(IMAGE, "[[fault:quota_model]]", "1:1", "1K", 1))
    assert raised.value.failure_class is F.QUOTA_MODEL
    assert timedelta(0) < raised.value.retry_after <= timedelta(hours=25)
    assert "midnight" in raised.value.advice


async def test_expired_token_is_auth(vertex, vertex_account, sandbox):
    sandbox.world.identity.expire_bearers(None)
    with pytest.raises(UpstreamFailure) as raised:
        await vertex.submit_video(vertex_account, clip(VEO))
    assert raised.value.failure_class is F.AUTH


async def test_gemini_makes_extends_and_hands_out_a_clip_of_veo(gemini, gemini_account, sandbox):
    sandbox.world.availability.add(Availability(model="veo-*", location=GEMINI_API, is_served=True))
    media = (await finished(gemini, gemini_account, clip(VEO))).media
    assert (await clip_bytes(gemini, gemini_account, media))[4:8] == b"ftyp"
    longer = await finished(gemini, gemini_account, clip(VEO, kind=VideoKind.EXTEND, source=media))
    assert longer.state is OperationState.SUCCEEDED


async def test_pictures_that_are_too_large_for_a_call_go_up_as_files(gemini, gemini_account, sandbox, monkeypatch):
    monkeypatch.setattr("flow2api_upstream.gemini.uploads.INLINE_BYTES", 300)
    pictures = [picture(400), picture(8)]
    assert len(pictures[0]) > 300 > len(pictures[1])
    references = [UploadedImage(inline=SourceImage(each, "image/png")) for each in pictures]
    result = await gemini.generate_image(gemini_account, ImageCall(IMAGE, "a kite", "1:1", "1K", 1, references))
    assert result.data
    assert sandbox.world.ledger.as_json()["calls"]["gemini.upload_start"] == 1
