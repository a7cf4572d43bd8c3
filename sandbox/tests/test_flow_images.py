"""Pictures of Flow over HTTP: right ones come as real files, wrong requests are refused."""

import base64
import io
import uuid

import pytest
from PIL import Image

SIZES = {
    "IMAGE_ASPECT_RATIO_LANDSCAPE": (1376, 768),
    "IMAGE_ASPECT_RATIO_PORTRAIT": (768, 1376),
    "IMAGE_ASPECT_RATIO_SQUARE": (1024, 1024),
    "IMAGE_ASPECT_RATIO_LANDSCAPE_FOUR_THREE": (1200, 896),
    "IMAGE_ASPECT_RATIO_PORTRAIT_THREE_FOUR": (896, 1200),
}


async def fetched(flow, entry) -> Image.Image:
    answer = await flow.http.get(entry["image"]["generatedImage"]["fifeUrl"])
    assert answer.headers["content-type"] == "image/png"
    return Image.open(io.BytesIO(answer.content))


@pytest.mark.parametrize(("ratio", "size"), SIZES.items())
async def test_picture_has_the_pixels_of_its_ratio(flow, ratio, size):
    answer = await flow.images(flow.image_body(imageAspectRatio=ratio))
    entry = answer.json()["media"][0]
    assert (await fetched(flow, entry)).size == size
    assert entry["image"]["dimensions"] == {"width": size[0], "height": size[1]}


async def test_four_seeds_make_four_different_pictures(flow):
    media = (await flow.images(flow.image_body(seeds=(1, 2, 3, 4)))).json()["media"]
    assert len({(await fetched(flow, entry)).tobytes() for entry in media}) == 4


async def test_picture_can_come_inside_the_answer(open_flow):
    flow = await open_flow(image_delivery="encoded_image")
    generated = (await flow.images("x")).json()["media"][0]["image"]["generatedImage"]
    assert generated["fifeUrl"] == ""
    assert Image.open(io.BytesIO(base64.b64decode(generated["encodedImage"]))).format == "PNG"


@pytest.mark.parametrize(("resolution", "size"), [("2K", (2752, 1536)), ("4K", (5504, 3072))])
async def test_upsampled_picture_is_a_larger_jpeg(ultra, resolution, size):
    name = (await ultra.images("x")).json()["media"][0]["name"]
    body = {
        "mediaId": name,
        "targetResolution": f"UPSAMPLE_IMAGE_RESOLUTION_{resolution}",
        "clientContext": ultra.tiered_context,
    }
    encoded = (await ultra.api("/flow/upsampleImage", body)).json()["encodedImage"]
    image = Image.open(io.BytesIO(base64.b64decode(encoded)))
    assert (image.format, image.size) == ("JPEG", size)


async def test_upsampling_above_the_tier_is_forbidden(flow):
    name = (await flow.images("x")).json()["media"][0]["name"]
    body = {
        "mediaId": name,
        "targetResolution": "UPSAMPLE_IMAGE_RESOLUTION_4K",
        "clientContext": flow.tiered_context,
    }
    answer = await flow.api("/flow/upsampleImage", body)
    assert answer.status_code == 403
    assert answer.json()["error"]["details"][0]["reason"] == "PUBLIC_ERROR_MODEL_ACCESS_DENIED"


@pytest.mark.parametrize("shape", ["media", "media_list", "media_generation_id"])
async def test_uploaded_picture_serves_as_a_reference_in_every_answer_shape(open_flow, png, shape):
    flow = await open_flow(upload_answer=shape)
    answer = (await flow.upload(png)).json()
    if shape == "media_generation_id":
        name = answer["mediaGenerationId"]["mediaGenerationId"]
        assert name.startswith("CAM")
    else:
        name = (answer["media"] if shape == "media" else answer["media"][0])["name"]
    inputs = [{"name": name, "imageInputType": "IMAGE_INPUT_TYPE_REFERENCE"}]
    assert (await flow.images(flow.image_body(imageInputs=inputs))).status_code == 200


async def test_id_of_the_old_upload_is_unknown_to_the_new_calls(flow, png):
    body = {
        "imageInput": {
            "rawImageBytes": base64.b64encode(png).decode(),
            "mimeType": "image/png",
            "isUserUploaded": True,
            "aspectRatio": "IMAGE_ASPECT_RATIO_LANDSCAPE",
        },
        "clientContext": {"sessionId": ";1767225600123", "tool": "ASSET_MANAGER"},
    }
    name = (await flow.api(":uploadUserImage", body)).json()["mediaGenerationId"]["mediaGenerationId"]
    inputs = [{"name": name, "imageInputType": "IMAGE_INPUT_TYPE_REFERENCE"}]
    assert (await flow.images(flow.image_body(imageInputs=inputs))).status_code == 404


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"imageBytes": "no base64!"}, 400),
        ({"mimeType": "image/jpeg"}, 400),
        ({"imageBytes": base64.b64encode(b"just text").decode()}, 400),
        ({"fileName": None}, 400),
        ({"surprise": 1}, 400),
    ],
)
async def test_wrong_upload_is_refused(flow, png, changes, status):
    answer = await flow.upload(png, **changes)
    assert answer.status_code == status
    assert answer.json()["error"]["status"] == "INVALID_ARGUMENT"


async def test_too_large_upload_is_refused_with_413(open_flow, png):
    flow = await open_flow(max_image_bytes=len(png) - 1)
    assert (await flow.upload(png)).status_code == 413


@pytest.mark.parametrize(
    "changes",
    [
        {"imageModelName": "GEM_PIX"},
        {"imageModelName": "IMAGEN_3_5", "imageAspectRatio": "IMAGE_ASPECT_RATIO_SQUARE"},
        {"imageAspectRatio": "IMAGE_ASPECT_RATIO_ROUND"},
        {"seeds": (0,)},
        {"seeds": (1_000_000,)},
        {"seeds": (1, 2, 3, 4, 5)},
        {"structuredPrompt": {"parts": []}},
        {"prompt": "x", "structuredPrompt": "x"},
        {"imageInputs": [{"name": "x"}]},
        {"clientContext": {"sessionId": "1767225600123"}},
        {"unknown": True},
    ],
)
async def test_wrong_picture_request_is_a_bad_argument(flow, changes):
    answer = await flow.images(flow.image_body(**changes))
    assert answer.status_code == 400
    assert answer.json()["error"]["status"] == "INVALID_ARGUMENT"


@pytest.mark.parametrize(
    "member",
    [
        {"mediaGenerationContext": {"batchId": "7"}},
        {"mediaGenerationContext": {"batchId": str(uuid.uuid1())}},
        {"useNewMedia": False},
        {"recaptchaContext": {}},
        {"requests": []},
    ],
)
async def test_wrong_outer_member_is_a_bad_argument(flow, member):
    assert (await flow.images({**flow.image_body(), **member})).status_code == 400


@pytest.mark.parametrize("member", [{"tool": "OTHER"}, {"sessionId": ";12"}, {"userPaygateTier": "PAYGATE_TIER_ONE"}])
async def test_wrong_client_context_is_a_bad_argument(flow, member):
    body = flow.image_body(clientContext={**flow.context, **member})
    body["clientContext"] = {**flow.context, **member}
    assert (await flow.images(body)).status_code == 400


async def test_inner_and_outer_context_must_be_the_same(flow):
    body = flow.image_body(clientContext={**flow.context, "sessionId": ";1767225600999"})
    assert (await flow.images(body)).status_code == 400


async def test_path_and_context_must_name_the_same_project(flow):
    answer = await flow.api(f"/projects/{uuid.uuid4()}/flowMedia:batchGenerateImages", flow.image_body())
    assert answer.status_code == 400


async def test_project_of_another_account_is_not_found(flow, ultra):
    flow.project_id = ultra.project_id
    assert (await flow.images("x")).status_code == 404


async def test_media_of_another_account_or_project_is_not_found(flow, ultra, png):
    theirs = await ultra.uploaded(png)
    inputs = [{"name": theirs, "imageInputType": "IMAGE_INPUT_TYPE_REFERENCE"}]
    assert (await flow.images(flow.image_body(imageInputs=inputs))).status_code == 404
    inputs[0]["name"] = await flow.uploaded(png)
    await flow.open()
    assert (await flow.images(flow.image_body(imageInputs=inputs))).status_code == 404


async def test_missing_bearer_and_odd_content_type_are_refused(flow):
    path = f"{flow.sandbox.flow_api_url}/projects/{flow.project_id}/flowMedia:batchGenerateImages"
    assert (await flow.http.post(path, json=flow.image_body())).status_code == 401
    headers = {**flow.bearer, "content-type": "application/x-www-form-urlencoded"}
    assert (await flow.http.post(path, content=b"{}", headers=headers)).status_code == 400


async def test_image_cap_throttles_what_runs_at_once(open_flow):
    flow = await open_flow(image_cap=0)
    answer = await flow.images("x")
    assert answer.status_code == 429
    assert answer.json()["error"]["details"][0]["reason"] == "PUBLIC_ERROR_USER_REQUESTS_THROTTLED"


async def test_account_marked_for_verification_is_refused_with_the_documented_words(flow):
    flow.sandbox.world.accounts["sandbox-st-1"].verification_required = True
    error = (await flow.images("x")).json()["error"]
    assert (error["code"], error["message"]) == (403, "reCAPTCHA evaluation failed")
    assert error["details"][0]["reason"] == "PUBLIC_ERROR_UNUSUAL_ACTIVITY"


async def test_uploaded_id_stops_working_after_an_hour(open_flow, clock, png):
    flow = await open_flow(clock=clock)
    inputs = [{"name": await flow.uploaded(png), "imageInputType": "IMAGE_INPUT_TYPE_REFERENCE"}]
    clock.advance(3700)
    await flow.refresh()
    answer = await flow.images(flow.image_body(imageInputs=inputs))
    assert (answer.status_code, answer.json()["error"]["message"]) == (404, "Requested entity was not found.")
