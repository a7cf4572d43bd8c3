"""What applications do with OpenAI's own SDK, the same in both modes."""

from __future__ import annotations

import base64
import io
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

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

    def test_conversation_goes_on_from_its_own_picture(self, client: openai.OpenAI) -> None:
        ask: list[Any] = [{"role": "system", "content": "Draw in ink."}, {"role": "user", "content": "a boat"}]
        first = client.chat.completions.create(model=IMAGE_MODEL, messages=ask, n=2)
        assert len({choice.message.content for choice in first.choices}) == 2
        told = first.choices[0].message
        ask = [*ask, told.model_dump(), {"role": "user", "content": "now in the rain"}]
        second = client.chat.completions.create(model=IMAGE_MODEL, messages=ask)
        assert fetch_link(second.choices[0].message.content) != fetch_link(told.content)

    def test_clip_in_a_stream_with_usage(self, client: openai.OpenAI) -> None:
        with client.chat.completions.stream(
            model=VIDEO_MODEL,
            messages=[{"role": "user", "content": "waves"}],
            stream_options={"include_usage": True},
            extra_body={"seconds": 8, "aspect_ratio": "16:9"},
        ) as stream:
            answer = stream.get_final_completion()
        player = re.search(r"<video src='(?P<url>[^']+)'", answer.choices[0].message.content or "")
        assert player is not None
        clip = clip_facts(httpx.get(player["url"], trust_env=False).raise_for_status().content)
        assert (clip.width, clip.height) == (1280, 720)
        assert answer.usage is not None

    def test_stream_that_is_left_in_the_middle(self, client: openai.OpenAI) -> None:
        stream = client.chat.completions.create(
            model=IMAGE_MODEL, messages=[{"role": "user", "content": "late [[fault:delay delay=3]]"}], stream=True
        )
        assert next(iter(stream)).choices[0].delta.role == "assistant"
        stream.close()
        assert client.models.retrieve(IMAGE_MODEL).id == IMAGE_MODEL

    def test_what_front_ends_send_besides(self, client: openai.OpenAI) -> None:
        call = {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
        history: list[Any] = [
            {"role": "developer", "content": [{"type": "text", "text": "Be brief."}], "name": "front-end"},
            {"role": "user", "content": "a text"},
            {"role": "assistant", "content": [{"type": "refusal", "refusal": "No."}]},
            {"role": "user", "content": "look it up", "name": "me"},
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "call_1", "content": "nothing"},
            {"role": "user", "content": "a stork"},
        ]
        answer = client.chat.completions.create(
            model=IMAGE_MODEL,
            messages=history,
            max_tokens=4096,
            temperature=0.7,
            top_p=1,
            presence_penalty=0,
            tools=[],
            tool_choice="auto",
            response_format={"type": "text"},
            reasoning_effort="low",
            user="user-1",
            metadata={"chat": "1"},
            store=False,
            seed=7,
            stop=None,
            logit_bias={},
            extra_body={"chat_id": "of the front end", "features": {"web_search": False}},
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

    def test_pictures_in_another_format_one_by_one(self, client: openai.OpenAI) -> None:
        stream = client.images.generate(
            model=IMAGE_MODEL, prompt="a pier", n=2, output_format="webp", output_compression=80, stream=True
        )
        events = list(stream)
        assert [event.type for event in events] == ["image_generation.completed"] * 2
        pictures = [base64.b64decode(event.b64_json) for event in events]
        assert {picture_facts(picture).format for picture in pictures} == {"WEBP"}
        assert pictures[0] != pictures[1]

    def test_one_picture_is_edited_and_several(self, client: openai.OpenAI) -> None:
        one = client.images.edit(model=IMAGE_MODEL, prompt="at night", image=png(), size="1024x1024")
        several = client.images.edit(
            model=IMAGE_MODEL,
            prompt="both",
            image=[("a.png", png(), "image/png"), io.BytesIO(png())],
            n=2,
            response_format="url",
        )
        assert one.data is not None
        assert several.data is not None
        facts = picture_facts(base64.b64decode(one.data[0].b64_json or ""))
        assert facts.width == facts.height
        assert len({picture.url for picture in several.data}) == 2

    def test_edit_in_a_stream(self, client: openai.OpenAI) -> None:
        stream = client.images.edit(model=IMAGE_MODEL, prompt="red", image=png(), stream=True)
        assert [event.type for event in stream] == ["image_edit.completed"]

    def test_mask_is_refused_by_name(self, client: openai.OpenAI) -> None:
        with pytest.raises(openai.BadRequestError) as caught:
            client.images.edit(model=IMAGE_MODEL, prompt="red", image=png(), mask=png())
        assert (caught.value.param, caught.value.code) == ("mask", "unsupported_parameter")

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

    def test_length_that_the_model_lacks_is_refused_by_name(self, client: openai.OpenAI) -> None:
        with videos_of_the_sdk(), pytest.raises(openai.BadRequestError) as caught:
            client.videos.create(model=VIDEO_MODEL, prompt="waves", seconds="77")
        assert (caught.value.param, caught.value.code) == ("seconds", "invalid_value")

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
