"""Veo on both official APIs: what is asked, and what each answer means. Source: docs/upstream/google-official.md, 8."""

import base64
from datetime import UTC, datetime

import pytest

from flow2api_upstream.gemini.api import GeminiApi
from flow2api_upstream.google.calls import GoogleCalls
from flow2api_upstream.google.handles import GoogleMedia, GoogleOperation
from flow2api_upstream.google.operations import status_of
from flow2api_upstream.google.veo import VeoExtras, clip_body
from flow2api_upstream.port import (
    FailureClass,
    OperationState,
    SourceImage,
    UploadedImage,
    UpstreamFailure,
    VideoCall,
    VideoKind,
)
from flow2api_upstream.vertex.api import VertexApi

NAME = "projects/p/locations/us-central1/publishers/google/models/veo-3.1-generate-001/operations/7f3c"
CALLS = GoogleCalls(VertexApi("http://vertex"), None, None, lambda: datetime(2026, 11, 23, tzinfo=UTC))
PICTURES = [UploadedImage(inline=SourceImage(bytes([number]), "image/png")) for number in range(3)]


def wire(number):
    return {"bytesBase64Encoded": base64.b64encode(bytes([number])).decode(), "mimeType": "image/png"}


def body(kind, images=(), extras=None, **more):
    call = VideoCall("veo", kind, "a kite", "9:16", 8, "1080p", 7, images, **more)
    return clip_body(call, extras or VeoExtras())


def status(answer):
    return status_of(CALLS, GoogleOperation(operation=NAME).handle("vertex"), {"name": NAME, **answer})


async def test_every_option_is_said():
    extras = VeoExtras(parameters={"seed": 7, "generateAudio": False, "storageUri": "gs://b/o/"})
    made = body(VideoKind.TEXT, extras=extras, negative_prompt="blur", person_generation="allow_adult")
    assert made == {
        "instances": [{"prompt": "a kite"}],
        "parameters": {
            "sampleCount": 1,
            "durationSeconds": 8,
            "aspectRatio": "9:16",
            "resolution": "1080p",
            "seed": 7,
            "generateAudio": False,
            "storageUri": "gs://b/o/",
            "negativePrompt": "blur",
            "personGeneration": "allow_adult",
        },
    }


@pytest.mark.parametrize(
    ("kind", "count", "expected"),
    [
        (VideoKind.FIRST_FRAME, 1, {"image": wire(0)}),
        (VideoKind.FIRST_AND_LAST_FRAME, 2, {"image": wire(0), "lastFrame": wire(1)}),
        (
            VideoKind.REFERENCES,
            3,
            {"referenceImages": [{"image": wire(number), "referenceType": "ASSET"} for number in range(3)]},
        ),
    ],
)
async def test_pictures_have_their_places(kind, count, expected):
    assert body(kind, PICTURES[:count])["instances"] == [{"prompt": "a kite", **expected}]


async def test_extension_names_its_clip():
    made = body(VideoKind.EXTEND, extras=VeoExtras(source={"gcsUri": "gs://b/a.mp4", "mimeType": "video/mp4"}))
    assert made["instances"][0]["video"]["gcsUri"] == "gs://b/a.mp4"


@pytest.mark.parametrize(
    ("kind", "count"), [(VideoKind.TEXT, 1), (VideoKind.FIRST_FRAME, 0), (VideoKind.EXTEND, 0), (VideoKind.UPSCALE, 0)]
)
async def test_what_a_kind_cannot_take_is_bad_input(kind, count):
    with pytest.raises(UpstreamFailure) as raised:
        body(kind, PICTURES[:count])
    assert raised.value.failure_class is FailureClass.BAD_INPUT


def test_without_done_it_goes_on():
    assert status({}).state is OperationState.ACTIVE


@pytest.mark.parametrize(
    ("response", "uri"),
    [
        ({"videos": [{"gcsUri": "gs://b/a.mp4", "mimeType": "video/mp4"}]}, "gs://b/a.mp4"),
        ({"videos": [{"bytesBase64Encoded": "AAAA"}], "raiMediaFilteredCount": 1}, ""),
        (
            {"generateVideoResponse": {"generatedSamples": [{"video": {"uri": "https://x/files/a"}}]}},
            "https://x/files/a",
        ),
    ],
)
def test_finished_clip_is_found_in_each_form(response, uri):
    found = status({"done": True, "response": response})
    assert found.state is OperationState.SUCCEEDED
    media = GoogleMedia.read("vertex", found.media)
    assert (media.operation, media.uri) == (NAME, uri)


@pytest.mark.parametrize("wrap", [lambda told: told, lambda told: {"generateVideoResponse": told}])
def test_filtered_clip_is_content_and_says_why(wrap):
    told = {"raiMediaFilteredCount": 1, "raiMediaFilteredReasons": ["… Support codes: 58061214"]}
    failure = status({"done": True, "response": wrap(told)}).failure
    assert (failure.failure_class, failure.reason) == (FailureClass.CONTENT, "FILTERED_58061214")
    assert "child" in failure.message


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        ({"code": 3, "message": "It violates our usage guidelines."}, FailureClass.CONTENT),
        ({"code": 3, "message": "Bad duration."}, FailureClass.BAD_INPUT),
        ({"code": 4, "message": "Deadline exceeded."}, FailureClass.UPSTREAM),
        ({"code": 5, "message": "gone"}, FailureClass.UPSTREAM),
        ({"code": 7, "message": "no"}, FailureClass.FORBIDDEN),
        ({"code": 8, "message": "Resource has been exhausted."}, FailureClass.THROTTLED),
        ({"code": 13, "message": "high load"}, FailureClass.UPSTREAM),
    ],
)
def test_failure_of_an_operation_is_classified(error, expected):
    failed = status({"done": True, "error": error})
    assert (failed.state, failed.failure.failure_class) == (OperationState.FAILED, expected)


def test_finished_without_a_clip_is_an_upstream_failure():
    assert status({"done": True, "response": {}}).failure.reason == "no_video"


@pytest.mark.parametrize("api", [VertexApi("http://vertex"), GeminiApi("http://gemini")])
@pytest.mark.parametrize("name", ["", "x", "models/a/../operations/b", "projects/p/locations/l.evil/operations/x"])
def test_foreign_operation_name_is_bad_input(api, name):
    with pytest.raises(UpstreamFailure) as raised:
        api.operation_request(name)
    assert raised.value.failure_class is FailureClass.BAD_INPUT


@pytest.mark.parametrize(
    ("location", "host"),
    [
        ("us-central1", "https://us-central1-aiplatform.googleapis.com"),
        ("global", "https://aiplatform.googleapis.com"),
        ("eu", "https://aiplatform.eu.rep.googleapis.com"),
    ],
)
def test_each_location_has_its_host(location, host):
    name = NAME.replace("us-central1", location)
    method, url, said = VertexApi("").operation_request(name)
    assert (method, said) == ("POST", {"operationName": name})
    assert url == f"{host}/v1/{name.partition('/operations/')[0]}:fetchPredictOperation"
