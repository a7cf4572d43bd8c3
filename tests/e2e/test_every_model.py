"""Every public model id, of pictures and of videos, makes what it says, through the gateway and the real services."""

from __future__ import annotations

import asyncio
import base64
import io
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any

import httpx
import pytest
import pytest_asyncio
from PIL import Image

from flow2api_generation_service.catalog.catalog import load_catalog
from flow2api_generation_service.catalog.model import Modality, PublicModel
from flow2api_testing.systems import ACCOUNTS, API_KEY, System, all_in_one_system
from flow2api_upstream.port import VideoKind

pytestmark = pytest.mark.timeout(600)

MODELS = load_catalog().models
AT_ONCE = 12
PROVIDERS = {account["provider"] for account in ACCOUNTS}
"""A kind that only another provider makes has no account here."""
SIZES = {"16:9": "1280x720", "9:16": "720x1280"}


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """An upstream that answers at once; clips are not decoded, which others test."""
    variables = {"FLOW2API_POLLER_STILL_PROCESSES": "0"}
    with all_in_one_system(tmp_path_factory.mktemp("models"), extra_variables=variables, time_scale="0") as running:
        yield running


@pytest_asyncio.fixture
async def http(system: System) -> AsyncIterator[httpx.AsyncClient]:
    headers = {"authorization": f"Bearer {API_KEY}"}
    async with httpx.AsyncClient(base_url=system.base_url, headers=headers, timeout=120, trust_env=False) as client:
        yield client


def picture(number: int) -> str:
    out = io.BytesIO()
    Image.new("RGB", (64, 64), (number * 60, 80, 120)).save(out, "PNG")
    return f"data:image/png;base64,{base64.b64encode(out.getvalue()).decode()}"


def kinds_of(model: PublicModel) -> set[VideoKind]:
    routes = [route for route in model.video_routes if route.provider in PROVIDERS]
    return {variant.kind for route in routes for variant in route.variants}


def source_of(model: PublicModel) -> str:
    """A model whose clips this one can go on from."""
    providers = {
        route.provider for route in model.video_routes if VideoKind.EXTEND in {each.kind for each in route.variants}
    }
    return "veo-3.1-fast" if "flow" in providers else model.model_id


def body_of(model: PublicModel, kind: VideoKind) -> dict[str, Any]:
    body: dict[str, Any] = {"model": model.model_id, "prompt": f"{kind} by {model.model_id}"}
    match kind:
        case VideoKind.FIRST_FRAME:
            body["input_reference"] = {"image_url": picture(1)}
        case VideoKind.FIRST_AND_LAST_FRAME:
            body |= {"input_reference": {"image_url": picture(1)}, "last_frame": {"image_url": picture(2)}}
        case VideoKind.REFERENCES:
            body["reference_images"] = [{"image_url": picture(1)}, {"image_url": picture(2)}]
    return body


async def accept(http: httpx.AsyncClient, path: str, bodies: Sequence[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """What was accepted by video id; what was not fails the test, all of it at once."""
    room = asyncio.Semaphore(AT_ONCE)

    async def post(body: dict[str, Any]) -> httpx.Response:
        async with room:
            return await http.post(path, json=body)

    answers = await asyncio.gather(*(post(body) for body in bodies))
    refused = {body["prompt"]: answer.text for body, answer in zip(bodies, answers, strict=True) if answer.is_error}
    assert refused == {}
    return {answer.json()["id"]: body for body, answer in zip(bodies, answers, strict=True)}


async def ends_of(http: httpx.AsyncClient, video_ids: set[str]) -> dict[str, dict[str, Any]]:
    """These videos once all of them are final."""
    final: dict[str, dict[str, Any]] = {}
    async with asyncio.timeout(400):
        while video_ids - set(final):
            after = ""
            while True:
                page = (await http.get("/v1/videos", params={"limit": 100, "after": after})).raise_for_status().json()
                final |= {each["id"]: each for each in page["data"] if each["status"] in ("completed", "failed")}
                if not page["has_more"]:
                    break
                after = page["last_id"]
            await asyncio.sleep(0.5)
    return {video_id: final[video_id] for video_id in video_ids}


async def assert_all_complete(http: httpx.AsyncClient, accepted: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    ends = await ends_of(http, set(accepted))
    failed = {accepted[key]["prompt"]: end["error"] for key, end in ends.items() if end["status"] != "completed"}
    assert failed == {}
    return list(ends.values())


async def test_every_video_model_makes_every_kind_of_video_that_it_has(http: httpx.AsyncClient) -> None:
    videos = [model for model in MODELS if model.modality is Modality.VIDEO]
    assert len(videos) >= 182
    bodies = [
        body_of(model, kind) for model in videos for kind in sorted(kinds_of(model)) if kind is not VideoKind.EXTEND
    ]
    extending = {model.model_id for model in videos if VideoKind.EXTEND in kinds_of(model)}
    assert {body["model"] for body in bodies} | extending == {model.model_id for model in videos}
    accepted = await accept(http, "/v1/videos", bodies)
    ends = await assert_all_complete(http, accepted)
    enlarged = {end["model"]: end["size"] for end in ends if end["model"].endswith(("_4k", "_1080p"))}
    assert enlarged
    for model_id, size in enlarged.items():
        assert max(map(int, size.split("x"))) == (3840 if model_id.endswith("_4k") else 1920), (model_id, size)


async def test_every_model_that_extends_goes_on_from_a_video(http: httpx.AsyncClient) -> None:
    extending = [model for model in MODELS if VideoKind.EXTEND in kinds_of(model)]
    assert extending
    pairs = [(model, ratio) for model in extending for ratio in SIZES if ratio in model.aspect_ratios]
    # A clip can be gone on from only where it was made.
    beginnings = {
        (source_of(model), ratio): {"model": source_of(model), "prompt": f"{source_of(model)} begins {ratio}"}
        | {"size": SIZES[ratio]}
        for model, ratio in pairs
    }
    accepted = await accept(http, "/v1/videos", list(beginnings.values()))
    await assert_all_complete(http, accepted)
    made = {body["prompt"]: video_id for video_id, body in accepted.items()}
    bodies = [
        {
            "model": model.model_id,
            "prompt": f"goes on {ratio} by {model.model_id}",
            "video": {"id": made[beginnings[source_of(model), ratio]["prompt"]]},
        }
        for model, ratio in pairs
    ]
    await assert_all_complete(http, await accept(http, "/v1/videos/extensions", bodies))
    for (model, _), body in zip(pairs, bodies, strict=True):
        other = next(each for each in extending if source_of(each) != source_of(model))
        refused = await http.post("/v1/videos/extensions", json={**body, "model": other.model_id})
        assert (refused.status_code, refused.json()["error"]["param"]) == (400, "model")
        assert (model.alias_of or model.model_id) in refused.json()["error"]["message"]


async def test_every_picture_model_makes_a_picture(http: httpx.AsyncClient) -> None:
    models = [model for model in MODELS if model.modality is Modality.IMAGE]
    assert len(models) >= 32
    room = asyncio.Semaphore(AT_ONCE)

    async def make(model: PublicModel) -> tuple[str, int, str]:
        async with room:
            body = {"model": model.model_id, "prompt": f"a heron by {model.model_id}", "response_format": "url"}
            answer = await http.post("/v1/images/generations", json=body)
        return model.model_id, answer.status_code, "" if answer.is_success else answer.text

    answers = await asyncio.gather(*(make(model) for model in models))
    assert [each for each in answers if each[1] != 200] == []
