"""What applications do with OpenAI's own SDK, the same in both modes."""

from __future__ import annotations

import base64
import io
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import openai
import pytest
from PIL import Image

from flow2api_cli.media_facts import clip_facts, picture_facts
from flow2api_testing.systems import System

pytestmark = pytest.mark.timeout(300)

IMAGE_MODEL = "gemini-3.1-flash-image"
VIDEO_MODEL = "veo-3.1-fast"
LINK = re.compile(r"!\[[^\]]*\]\((?P<url>[^)]+)\)")


@contextmanager
def videos_of_the_sdk() -> Iterator[None]:
    """The SDK calls its video methods deprecated since OpenAI's own service ended; they are still our contract."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The Sora API", category=DeprecationWarning)
        yield


def fetch_link(content: str | None) -> bytes:
    """The file behind the picture in a Markdown answer; its link needs no key."""
    link = LINK.search(content or "")
    assert link is not None, f"no picture in {content!r}"
    return httpx.get(link["url"], trust_env=False).raise_for_status().content


def png() -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (64, 64), "navy").save(buffer, "PNG")
    return buffer.getvalue()


class TestModels:
    def test_catalog_lists_models_and_aliases(self, client: openai.OpenAI) -> None:
        ids = {model.id for model in client.models.list()}
        assert {IMAGE_MODEL, VIDEO_MODEL, "gemini-3.1-flash-image-landscape", "veo_3_1_t2v_fast_portrait"} <= ids
        assert client.models.retrieve(IMAGE_MODEL).id == IMAGE_MODEL

    def test_unknown_model_is_not_found(self, client: openai.OpenAI) -> None:
        with pytest.raises(openai.NotFoundError) as caught:
            client.models.retrieve("no-such-model")
        assert caught.value.code == "model_not_found"


class TestChat:
    def test_picture_in_one_answer(self, client: openai.OpenAI) -> None:
        answer = client.chat.completions.create(
            model="gemini-3.1-flash-image-portrait", messages=[{"role": "user", "content": "a heron"}]
        )
        assert answer.choices[0].finish_reason == "stop"
        facts = picture_facts(fetch_link(answer.choices[0].message.content))
        assert (facts.width, facts.height) == (768, 1376)

    def test_picture_in_a_stream_with_progress(self, client: openai.OpenAI) -> None:
        reasoning, content = "", ""
        stream = client.chat.completions.create(
            model=IMAGE_MODEL,
            messages=[{"role": "user", "content": "a kingfisher"}],
            extra_body={"size": "1376x768"},
            stream=True,
        )
        finish_reasons = []
        for chunk in stream:
            delta = chunk.choices[0].delta
            reasoning += getattr(delta, "reasoning_content", None) or ""
            content += delta.content or ""
            finish_reasons.append(chunk.choices[0].finish_reason)
        facts = picture_facts(fetch_link(content))
        assert (facts.width, facts.height) == (1376, 768)
        assert reasoning
        assert finish_reasons[-1] == "stop"

    def test_picture_from_a_picture(self, client: openai.OpenAI) -> None:
        data_url = f"data:image/png;base64,{base64.b64encode(png()).decode()}"
        answer = client.chat.completions.create(
            model=IMAGE_MODEL,
            messages=[
                {
                    "role": "user",
                    "content": [
                        {"type": "text", "text": "the same at night"},
                        {"type": "image_url", "image_url": {"url": data_url}},
                    ],
                }
            ],
        )
        assert picture_facts(fetch_link(answer.choices[0].message.content)).width > 0


class TestImages:
    def test_picture_as_base64(self, client: openai.OpenAI) -> None:
        answer = client.images.generate(
            model=IMAGE_MODEL, prompt="a lighthouse", size="1024x1024", response_format="b64_json"
        )
        assert answer.data is not None
        facts = picture_facts(base64.b64decode(answer.data[0].b64_json or ""))
        assert facts.width == facts.height

    def test_picture_as_link(self, client: openai.OpenAI) -> None:
        answer = client.images.generate(model=IMAGE_MODEL, prompt="a pier", size="1024x1536", response_format="url")
        assert answer.data is not None
        facts = picture_facts(httpx.get(answer.data[0].url or "", trust_env=False).raise_for_status().content)
        assert facts.height > facts.width

    def test_refused_prompt_is_a_bad_request(self, client: openai.OpenAI) -> None:
        with pytest.raises(openai.BadRequestError) as caught:
            client.images.generate(model=IMAGE_MODEL, prompt="[[fault:content]] refused", n=1)
        assert caught.value.code in {"content_policy_violation", "moderation_blocked"}


class TestVideos:
    def test_portrait_video_is_followed_to_its_file(self, client: openai.OpenAI) -> None:
        with videos_of_the_sdk():
            video = client.videos.create_and_poll(
                model=VIDEO_MODEL, prompt="waves", size="720x1280", seconds="8", poll_interval_ms=200
            )
            assert (video.status, video.progress, video.seconds) == ("completed", 100, "8")
            content = client.videos.download_content(video.id).read()
        facts = clip_facts(content)
        assert (facts.width, facts.height) == (720, 1280)
        assert facts.seconds == pytest.approx(8, abs=0.5)

    def test_video_from_a_first_frame(self, client: openai.OpenAI) -> None:
        with videos_of_the_sdk():
            video = client.videos.create_and_poll(
                model=VIDEO_MODEL,
                prompt="the picture comes alive",
                size="1280x720",
                seconds="8",
                input_reference=("frame.png", png(), "image/png"),
                poll_interval_ms=200,
            )
            assert video.status == "completed", video.error
            facts = clip_facts(client.videos.download_content(video.id).read())
        assert (facts.width, facts.height) == (1280, 720)

    def test_refused_video_fails_with_a_code(self, client: openai.OpenAI) -> None:
        with videos_of_the_sdk():
            video = client.videos.create_and_poll(
                model=VIDEO_MODEL, prompt="[[fault:content]] refused", seconds="8", poll_interval_ms=200
            )
        assert video.status == "failed"
        assert video.error is not None
        assert video.error.code == "content_policy_violation"

    def test_every_variant_of_the_content(self, client: openai.OpenAI) -> None:
        with videos_of_the_sdk():
            video = client.videos.create_and_poll(
                model=VIDEO_MODEL, prompt="waves with pictures", size="1280x720", seconds="8", poll_interval_ms=200
            )
            clip = client.videos.download_content(video.id, variant="video")
            thumbnail = client.videos.download_content(video.id, variant="thumbnail")
            sheet = client.videos.download_content(video.id, variant="spritesheet")
        assert clip.response.headers["content-type"] == "video/mp4"
        assert thumbnail.response.headers["content-type"] == "image/webp"
        assert sheet.response.headers["content-type"] == "image/jpeg"
        small, frames = picture_facts(thumbnail.read()), picture_facts(sheet.read())
        assert (small.format, small.width, small.height) == ("WEBP", 640, 360)
        assert (frames.format, frames.width, frames.height) == ("JPEG", 1024, 576)

    def test_list_goes_over_pages_newest_first(self, client: openai.OpenAI) -> None:
        with videos_of_the_sdk():
            made = [client.videos.create(model=VIDEO_MODEL, prompt=f"page {number}").id for number in range(3)]
            first = client.videos.list(limit=2)
            assert [each.id for each in first.data] == made[:0:-1]
            assert first.has_next_page()
            assert first.get_next_page().data[0].id == made[0]
            everything = [each.id for each in client.videos.list(limit=2)]
            assert everything[:3] == made[::-1]
            oldest_first = [each.id for each in client.videos.list(order="asc", limit=2)]
            assert oldest_first == everything[::-1]

    def test_a_deleted_video_is_gone_with_its_content(self, client: openai.OpenAI) -> None:
        with videos_of_the_sdk():
            video = client.videos.create_and_poll(model=VIDEO_MODEL, prompt="to be deleted", poll_interval_ms=200)
            deleted = client.videos.delete(video.id)
            assert (deleted.id, deleted.deleted) == (video.id, True)
            for ask in (client.videos.retrieve, client.videos.download_content, client.videos.delete):
                with pytest.raises(openai.NotFoundError):
                    ask(video.id)

    def test_content_of_a_video_that_is_not_ready_is_a_bad_request(self, client: openai.OpenAI) -> None:
        with videos_of_the_sdk():
            video = client.videos.create(model=VIDEO_MODEL, prompt="[[fault:active]] for ever")
            with pytest.raises(openai.BadRequestError) as caught:
                client.videos.download_content(video.id)
            client.videos.delete(video.id)
        assert caught.value.code == "video_not_ready"

    def test_a_video_is_remixed(self, client: openai.OpenAI) -> None:
        with videos_of_the_sdk():
            source = client.videos.create_and_poll(
                model=VIDEO_MODEL, prompt="the beginning", size="1280x720", seconds="8", poll_interval_ms=200
            )
            remixed = client.videos.remix(source.id, prompt="at night")
            assert client.videos.poll(remixed.id, poll_interval_ms=200).status == "completed"
        assert remixed.remixed_from_video_id == source.id

    def test_video_of_nobody_is_not_found(self, client: openai.OpenAI) -> None:
        with videos_of_the_sdk(), pytest.raises(openai.NotFoundError):
            client.videos.retrieve("video_of_nobody")


def test_wrong_key_learns_nothing(system: System) -> None:
    stranger = openai.OpenAI(base_url=f"{system.base_url}/v1", api_key="sk-wrong", max_retries=0)
    with stranger, pytest.raises(openai.AuthenticationError) as caught:
        stranger.images.generate(model="no-such-model", prompt="anything")
    assert caught.value.code == "invalid_api_key"


class TestAdministration:
    def test_token_is_added_listed_masked_disabled_and_deleted(self, system: System) -> None:
        with system.admin() as admin:
            added = admin.post("/admin/tokens", json={"st": "sandbox-st-3", "remark": "for a while"})
            assert added.is_success, added.text
            listed = admin.get("/admin/tokens").raise_for_status().json()
            (token,) = (each for each in listed if each["remark"] == "for a while")
            assert "sandbox-st-3" not in token["st"]
            admin.post(f"/admin/tokens/{token['id']}/disable").raise_for_status()
            (token,) = (each for each in admin.get("/admin/tokens").json() if each["id"] == token["id"])
            assert token["is_active"] is False
            admin.delete(f"/admin/tokens/{token['id']}").raise_for_status()
            assert token["id"] not in {each["id"] for each in admin.get("/admin/tokens").json()}

    def test_stranger_is_refused(self, system: System) -> None:
        assert httpx.get(f"{system.base_url}/admin/tokens", trust_env=False).status_code == 401
        wrong = {"username": "admin", "password": "wrong-password"}
        assert httpx.post(f"{system.base_url}/admin/login", json=wrong, trust_env=False).status_code == 401
