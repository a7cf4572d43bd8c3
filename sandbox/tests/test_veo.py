"""Veo on both official APIs: what a body may hold, how operations end, where results are."""

import base64
import io
from typing import Any

import av
import httpx
import pytest

from flow2api_sandbox.media.clips import render_clip
from flow2api_sandbox.media.recipes import ClipRecipe
from flow2api_sandbox.storage.store import GcsUri, StoredObject
from flow2api_testing.google_cloud import VEO, CloudClient, error_of

LITE = "veo-3.1-lite-generate-001"
OLD = "veo-3.1-generate-preview"


def encoded(content: bytes) -> str:
    return base64.b64encode(content).decode()


def seconds_of(content: bytes) -> int:
    with av.open(io.BytesIO(content)) as container:
        return round(container.duration / av.time_base)


@pytest.fixture
def image(png: bytes) -> dict[str, str]:
    return {"bytesBase64Encoded": encoded(png), "mimeType": "image/png"}


class TestBodies:
    @pytest.mark.parametrize(
        "parameters",
        [
            {},
            {
                "durationSeconds": 4,
                "aspectRatio": "9:16",
                "sampleCount": 4,
                "seed": 2**32 - 1,
                "negativePrompt": "blur",
            },
            {"durationSeconds": 8, "resolution": "4k", "generateAudio": False, "personGeneration": "allow_all"},
            {"enhancePrompt": True, "compressionQuality": "OPTIMIZED", "storageUri": "gs://sandbox-bucket-1"},
        ],
    )
    async def test_documented_parameters_are_taken(self, cloud, parameters):
        assert (await cloud.clip(**parameters)).status_code == 200

    @pytest.mark.parametrize(
        ("parameters", "words"),
        [
            ({"durationSeconds": 5}, "durationSeconds"),
            ({"durationSeconds": "8"}, "durationSeconds"),
            ({"durationSeconds": 6, "resolution": "1080p"}, "durationSeconds must be 8"),
            ({"aspectRatio": "1:1"}, "aspectRatio"),
            ({"resolution": "480p"}, "resolution"),
            ({"sampleCount": 5}, "sampleCount"),
            ({"seed": -1}, "seed"),
            ({"personGeneration": "everybody"}, "personGeneration"),
            ({"enhancePrompt": False}, "enhancePrompt"),
            ({"compressionQuality": "small"}, "compressionQuality"),
            ({"resizeMode": "pad"}, "resizeMode is only taken with an image"),
            ({"duration_seconds": 8}, "duration_seconds"),
            ({"storageUri": "https://example.com/out"}, "gs://"),
            ({"storageUri": "gs://nobody-s/out"}, "does not exist"),
        ],
    )
    async def test_other_parameters_are_refused_by_name(self, cloud, parameters, words):
        answer = await cloud.clip(**parameters)
        assert error_of(answer) == (400, "INVALID_ARGUMENT", None)
        assert words in answer.json()["error"]["message"]

    async def test_lite_has_no_4k(self, cloud):
        answer = await cloud.clip(model=LITE, resolution="4k")
        assert "not supported by veo-3.1-lite" in answer.json()["error"]["message"]

    @pytest.mark.parametrize(
        ("change", "parameters", "words"),
        [
            ({"prompt": ""}, {}, "prompt is required"),
            ({"lastFrame": "<image>"}, {}, "lastFrame"),
            ({"referenceImages": ["<reference>"] * 4}, {}, "Too many reference images"),
            ({"referenceImages": ["<reference>"], "image": "<image>"}, {}, "referenceImages"),
            ({"referenceImages": ["<reference>"]}, {"durationSeconds": 4}, "durationSeconds must be 8"),
            ({"image": "<image>"}, {"personGeneration": "allow_all"}, "allow_all"),
            ({"image": {"bytesBase64Encoded": "AAAA", "mimeType": "image/gif"}}, {}, "mimeType"),
            ({"image": {"bytesBase64Encoded": "AAAA", "mimeType": "image/png"}}, {}, "Unable to process"),
            ({"image": {"bytesBase64Encoded": "!", "mimeType": "image/png"}}, {}, "Base64"),
            ({"image": {"mimeType": "image/png"}}, {}, "exactly one of"),
            ({"image": {"gcsUri": "gs://sandbox-bucket-1/none.png", "mimeType": "image/png"}}, {}, "not found"),
            ({"video": {"bytesBase64Encoded": "AAAA", "mimeType": "video/mp4"}}, {}, "not a readable MP4"),
            ({"mask": {}}, {}, "mask"),
        ],
    )
    async def test_inputs_that_do_not_go_are_refused_by_name(self, cloud, image, change, parameters, words):
        known = {"<image>": image, "<reference>": {"image": image, "referenceType": "ASSET"}}

        def fill(value: Any) -> Any:
            if isinstance(value, list):
                return [fill(each) for each in value]
            return known.get(value, value) if isinstance(value, str) else value

        instance = {name: fill(value) for name, value in change.items()}
        answer = await cloud.clip(instance=instance, **parameters)
        assert error_of(answer) == (400, "INVALID_ARGUMENT", None)
        assert words in answer.json()["error"]["message"]

    async def test_one_instance_and_no_more(self, cloud):
        body = {"instances": [{"prompt": "a"}, {"prompt": "b"}]}
        assert "instances" in (await cloud.call(VEO, "predictLongRunning", body)).json()["error"]["message"]

    async def test_bucket_of_another_project_is_forbidden(self, cloud):
        assert (await cloud.clip(storageUri="gs://sandbox-bucket-2/out/")).status_code == 403


class TestExtension:
    @pytest.mark.parametrize(("source_seconds", "status"), [(141, 200), (142, 400)])
    async def test_whole_may_be_so_long(self, cloud, source_seconds, status):
        uri = GcsUri("sandbox-bucket-1", "earlier.mp4")
        earlier = StoredObject(ClipRecipe(1280, 720, source_seconds), created_at=0, active_at=0)
        cloud.sandbox.world.storage.put(uri, earlier)
        answer = await cloud.clip(instance={"video": {"gcsUri": str(uri), "mimeType": "video/mp4"}})
        assert answer.status_code == status

    async def test_source_inside_the_request(self, cloud):
        clip = encoded(render_clip(ClipRecipe(1280, 720, 4)))
        answer = await cloud.clip(instance={"video": {"bytesBase64Encoded": clip, "mimeType": "video/mp4"}})
        operation = cloud.sandbox.world.veo.operations[answer.json()["name"]]
        assert operation.recipe.seconds == 11
        assert operation.charge.micros == 700_000

    async def test_clip_of_another_shape_is_not_veo_s(self, cloud):
        clip = encoded(render_clip(ClipRecipe(640, 360, 1)))
        answer = await cloud.clip(instance={"video": {"bytesBase64Encoded": clip, "mimeType": "video/mp4"}})
        assert "one that Veo generated" in answer.json()["error"]["message"]


class TestOperations:
    async def test_name_alone_until_it_is_done(self, start_sandbox, clock, http):
        cloud = await CloudClient(await start_sandbox(clock=clock, time_scale=1), http).open()
        name = (await cloud.clip(durationSeconds=4)).json()["name"]
        assert name.startswith(f"{cloud.resource}/publishers/google/models/{VEO}/operations/")
        assert (await cloud.operation(name)).json() == {"name": name}
        clock.advance(90)
        done = (await cloud.operation(name)).json()
        assert (done["done"], done["response"]["raiMediaFilteredCount"]) == (True, 0)
        assert seconds_of(base64.b64decode(done["response"]["videos"][0]["bytesBase64Encoded"])) == 4
        clock.advance(48 * 3600 + 1)
        cloud.headers = (await CloudClient(cloud.sandbox, http).open()).headers
        assert (await cloud.operation(name)).status_code == 404

    async def test_address_and_name_must_belong_together(self, cloud):
        name = (await cloud.clip()).json()["name"]
        body = {"operationName": name}
        assert error_of(await cloud.call(LITE, "fetchPredictOperation", body))[:2] == (400, "INVALID_ARGUMENT")
        assert error_of(await cloud.operation(name + "x"))[:2] == (404, "NOT_FOUND")

    async def test_plain_get_does_not_work(self, cloud, http):
        name = (await cloud.clip()).json()["name"]
        assert (await http.get(f"{cloud.sandbox.vertex_url}/v1/{name}", headers=cloud.headers)).status_code == 404

    @pytest.mark.parametrize(
        ("mark", "code"),
        [("fail", 3), ("error_status", 13), ("error_status reason=UNAVAILABLE", 14), ("fail reason=8", 8)],
    )
    async def test_failure_has_a_grpc_code_and_costs_nothing(self, cloud, mark, code):
        name = (await cloud.clip(f"x [[fault:{mark}]]")).json()["name"]
        assert (await cloud.operation(name)).json()["error"]["code"] == code
        assert (await cloud.bill())["total_micros"] == 0

    async def test_filtered_clips_cost_nothing(self, cloud):
        answer = await cloud.clip("x [[fault:filtered samples=1]]", sampleCount=3, storageUri="gs://sandbox-bucket-1/a")
        response = (await cloud.operation(answer.json()["name"])).json()["response"]
        assert (response["raiMediaFilteredCount"], len(response["videos"])) == (1, 2)
        assert "Support codes: 58061214" in response["raiMediaFilteredReasons"][0]
        assert (await cloud.bill())["total_micros"] == 2 * 800_000

    async def test_operation_is_missing_for_so_many_looks(self, cloud):
        name = (await cloud.clip("x [[fault:missing answers=2]]")).json()["name"]
        assert [(await cloud.operation(name)).status_code for _ in range(3)] == [404, 404, 200]

    async def test_empty_operation_has_no_videos(self, cloud):
        name = (await cloud.clip("x [[fault:empty]]")).json()["name"]
        assert "videos" not in (await cloud.operation(name)).json()["response"]

    async def test_large_clip_inside_the_answer(self, cloud):
        await cloud.control("/clip-size", {"at_least_bytes": 3_000_000})
        name = (await cloud.clip(durationSeconds=4, sampleCount=2)).json()["name"]
        videos = (await cloud.operation(name)).json()["response"]["videos"]
        contents = [base64.b64decode(each["bytesBase64Encoded"], validate=True) for each in videos]
        assert [len(each) for each in contents] == [3_000_000] * 2
        assert seconds_of(contents[1]) == 4


class TestBuckets:
    async def stored(self, cloud: CloudClient, path: str, **headers: str) -> httpx.Response:
        url = f"{cloud.sandbox.storage_url}/storage/v1/b/sandbox-bucket-1/o/{path}"
        return await cloud.http.get(url, headers=cloud.headers | headers)

    async def clip_path(self, cloud: CloudClient, prompt: str = "waves") -> str:
        name = (await cloud.clip(prompt, durationSeconds=4, storageUri="gs://sandbox-bucket-1/out")).json()["name"]
        uri = (await cloud.operation(name)).json()["response"]["videos"][0]["gcsUri"]
        return uri.removeprefix("gs://sandbox-bucket-1/").replace("/", "%2F")

    async def test_object_is_read_in_parts(self, cloud):
        path = await self.clip_path(cloud)
        described = (await self.stored(cloud, path)).json()
        part = await self.stored(cloud, path + "?alt=media", range="bytes=4-7")
        assert (part.status_code, part.content) == (206, b"ftyp")
        assert part.headers["content-range"] == f"bytes 4-7/{described['size']}"
        assert described["contentType"] == "video/mp4"

    async def test_slashes_must_be_encoded(self, cloud):
        path = (await self.clip_path(cloud)).replace("%2F", "/")
        assert (await self.stored(cloud, path + "?alt=media")).status_code == 404

    async def test_refusals_have_the_envelope_of_cloud_storage(self, cloud):
        missing = (await self.stored(cloud, "none?alt=media")).json()["error"]
        assert (missing["code"], missing["errors"][0]["reason"]) == (404, "notFound")
        cloud.headers = {}
        assert (await self.stored(cloud, "none?alt=media")).json()["error"]["errors"][0]["reason"] == "authError"

    async def test_foreign_account_is_forbidden(self, cloud, http):
        path = await self.clip_path(cloud)
        cloud.headers = (await CloudClient(cloud.sandbox, http, number=2).open()).headers
        assert (await self.stored(cloud, path)).json()["error"]["errors"][0]["reason"] == "forbidden"

    async def test_clip_that_is_not_there_at_first(self, cloud):
        path = await self.clip_path(cloud, "x [[fault:media_404]]")
        assert [(await self.stored(cloud, path + "?alt=media")).status_code for _ in range(3)] == [404, 404, 200]


class TestGeminiApi:
    KEY = "sandbox-key-1"

    @pytest.fixture
    async def ask(self, cloud: CloudClient, http: httpx.AsyncClient):
        await cloud.control("/availability", {"model": OLD, "location": "gemini-api", "is_served": True})
        await cloud.control("/availability", {"model": OLD, "is_served": True})
        headers = {"x-goog-api-key": self.KEY}

        async def send(path: str, body: Any = None) -> httpx.Response:
            url = path if path.startswith("http") else f"{cloud.sandbox.gemini_url}/v1beta/{path}"
            return await http.request("GET" if body is None else "POST", url, json=body, headers=headers)

        return send

    async def clip(self, ask: Any, instance: dict[str, Any] | None = None, **parameters: Any) -> dict[str, Any]:
        body = {"instances": [{"prompt": "waves", **(instance or {})}], "parameters": parameters}
        answer = await ask(f"models/{OLD}:predictLongRunning", body)
        return (await ask(answer.json()["name"])).json() if answer.is_success else answer.json()

    async def test_clip_is_a_file_of_the_key(self, ask):
        done = await self.clip(ask, durationSeconds=4)
        assert done["name"].startswith(f"models/{OLD}/operations/")
        uri = done["response"]["generateVideoResponse"]["generatedSamples"][0]["video"]["uri"]
        assert seconds_of((await ask(uri)).content) == 4

    async def test_clip_is_extended_by_its_uri(self, ask):
        done = await self.clip(ask)
        video = done["response"]["generateVideoResponse"]["generatedSamples"][0]["video"]
        longer = await self.clip(ask, {"video": video})
        uri = longer["response"]["generateVideoResponse"]["generatedSamples"][0]["video"]["uri"]
        assert seconds_of((await ask(uri)).content) == 15

    async def test_picture_in_either_form(self, ask, image):
        inline = {"inlineData": {"mimeType": "image/png", "data": image["bytesBase64Encoded"]}}
        for picture in (image, inline):
            assert (await self.clip(ask, {"image": picture}))["done"] is True

    @pytest.mark.parametrize(
        ("change", "parameters"),
        [
            ({}, {"sampleCount": 2}),
            ({}, {"generateAudio": True}),
            ({}, {"storageUri": "gs://sandbox-bucket-1/out"}),
            ({"image": {"gcsUri": "gs://sandbox-bucket-1/a.png", "mimeType": "image/png"}}, {}),
        ],
    )
    async def test_what_vertex_alone_has_is_unknown(self, ask, change, parameters):
        assert (await self.clip(ask, change, **parameters))["error"]["status"] == "INVALID_ARGUMENT"

    async def test_file_of_somebody_else_cannot_be_extended(self, ask):
        uri = "https://generativelanguage.googleapis.com/v1beta/files/strange:download?alt=media"
        assert (await self.clip(ask, {"video": {"uri": uri}}))["error"]["code"] == 403

    async def test_model_is_listed_while_it_is_served(self, ask):
        names = [each["name"] for each in (await ask("models")).json()["models"]]
        assert f"models/{OLD}" in names
        assert f"models/{VEO}" not in names
