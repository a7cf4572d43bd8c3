"""Each documented answer shape of the Gemini API. Source: docs/upstream/google-official.md, sections 5 and 6."""

import base64
from datetime import UTC, datetime

import pytest

from flow2api_upstream.gemini.api import GeminiApi
from flow2api_upstream.google.calls import GoogleCalls
from flow2api_upstream.google.handles import GoogleMedia, GoogleOperation
from flow2api_upstream.google.images import image_body, image_result
from flow2api_upstream.google.interactions import status_of, video_body
from flow2api_upstream.google.reasons import BLOCK_REASONS, FINISH_CONTENT
from flow2api_upstream.port import (
    FailureClass,
    ImageCall,
    OperationState,
    SourceImage,
    UploadedImage,
    UpstreamFailure,
    UsageCount,
    VideoCall,
    VideoKind,
)

CALLS = GoogleCalls(GeminiApi("http://gemini"), None, None, lambda: datetime(2026, 11, 23, tzinfo=UTC))
PNG = b"\x89PNG\r\n\x1a\n" + b"\xfb\xff" * 20
PICTURE = UploadedImage(inline=SourceImage(PNG, "image/png"))
HANDLE = GoogleOperation("v1_abc").handle("gemini")


def part(data=PNG, **more):
    return {"inlineData": {"mimeType": "image/png", "data": base64.b64encode(data).decode()}, **more}


def candidate(*parts, **more):
    return {"candidates": [{"content": {"role": "model", "parts": list(parts)}, "finishReason": "STOP", **more}]}


class TestImageBody:
    async def test_references_are_inline_in_standard_base64(self):
        body = image_body("gemini", ImageCall("gemini-3.1-flash-image", "cat", "16:9", "2K", 7, [PICTURE]))
        text, picture = body["contents"][0]["parts"]
        assert text == {"text": "cat"}
        assert picture["inlineData"] == {"mimeType": "image/png", "data": base64.b64encode(PNG).decode()}
        assert body["generationConfig"]["imageConfig"] == {"aspectRatio": "16:9", "imageSize": "2K"}

    async def test_old_model_is_not_told_a_size(self):
        body = image_body("gemini", ImageCall("gemini-2.5-flash-image", "cat", "1:1", "1K", 7))
        assert body["generationConfig"]["imageConfig"] == {"aspectRatio": "1:1"}

    @pytest.mark.parametrize(
        ("word", "told"), [("allow_all", "ALLOW_ALL"), ("allow_adult", "ALLOW_ADULT"), ("dont_allow", "ALLOW_NONE")]
    )
    def test_vertex_alone_is_told_which_people_may_be_shown(self, word, told):
        call = ImageCall("gemini-3.1-flash-image", "cat", "1:1", "1K", 7, person_generation=word)
        assert image_body("vertex", call)["generationConfig"]["imageConfig"]["personGeneration"] == told
        assert "personGeneration" not in image_body("gemini", call)["generationConfig"]["imageConfig"]


class TestImageAnswer:
    async def test_last_picture_that_is_no_draft(self):
        draft, first, last = part(PNG + b"0", thought=True), part(PNG + b"1"), part(PNG + b"2")
        usage = {
            "promptTokenCount": 265,
            "candidatesTokenCount": 1120,
            "thoughtsTokenCount": 80,
            "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 7}, {"modality": "IMAGE", "tokenCount": 258}],
        }
        answer = candidate({"text": "Here."}, first, last, draft) | {"usageMetadata": usage}
        result = await image_result(answer, 7)
        assert (result.data, result.mime_type, result.text) == (PNG + b"2", "image/png", "Here.")
        assert result.usage.input_tokens == 265
        assert (result.usage.input_text_tokens, result.usage.input_image_tokens) == (7, 258)
        assert result.usage.output_tokens == 1200

    async def test_url_safe_base64_without_padding_and_snake_case_is_read(self):
        data = base64.urlsafe_b64encode(PNG).decode().rstrip("=")
        result = await image_result(candidate({"inline_data": {"data": data}}), 1)
        assert result.data == PNG

    @pytest.mark.parametrize("reason", [*BLOCK_REASONS, "BRAND_NEW"])
    async def test_blocked_prompt_is_content(self, reason):
        failure = await self.failure({"promptFeedback": {"blockReason": reason}})
        assert (failure.failure_class, failure.reason) == (FailureClass.CONTENT, reason)

    @pytest.mark.parametrize("reason", FINISH_CONTENT)
    async def test_refused_output_is_content(self, reason):
        failure = await self.failure({"candidates": [{"finishReason": reason}]})
        assert (failure.failure_class, failure.message) == (FailureClass.CONTENT, FINISH_CONTENT[reason])

    @pytest.mark.parametrize(
        "reason",
        [
            "NO_IMAGE",
            "IMAGE_OTHER",
            "OTHER",
            "MAX_TOKENS",
            "MALFORMED_RESPONSE",
            "MISSING_THOUGHT_SIGNATURE",
            "NEW",
            "STOP",
        ],
    )
    async def test_other_ends_without_a_picture_are_upstream(self, reason):
        failure = await self.failure({"candidates": [{"finishReason": reason}]})
        assert (failure.failure_class, failure.reason) == (FailureClass.UPSTREAM, reason)

    @pytest.mark.parametrize("text", ["I can't make that.", "I can\u2019t do it", "This goes against our policies."])
    async def test_refusal_in_words_is_content_and_told(self, text):
        failure = await self.failure(candidate({"text": text}))
        assert failure.failure_class is FailureClass.CONTENT
        assert text in failure.message

    async def test_chat_instead_of_a_picture_is_upstream(self):
        failure = await self.failure(candidate({"text": "What a nice idea!"}))
        assert (failure.failure_class, failure.reason) == (FailureClass.UPSTREAM, "TEXT_ONLY")

    async def test_draft_alone_is_no_picture(self):
        assert (await self.failure(candidate(part(thought=True)))).failure_class is FailureClass.UPSTREAM

    async def test_nothing_at_all_is_upstream(self):
        assert (await self.failure({})).failure_class is FailureClass.UPSTREAM

    async def failure(self, answer):
        with pytest.raises(UpstreamFailure) as raised:
            await image_result(answer, 1)
        return raised.value


class TestVideoBody:
    def body(self, kind, images=(), source=None):
        call = VideoCall("gemini-omni-1.1-flash", kind, "boat", "16:9", 8, "720p", 7, images, source, "rain")
        return video_body("gemini", call)

    async def test_frame_of_every_body(self):
        body = self.body(VideoKind.TEXT)
        assert body["response_format"] == {
            "type": "video",
            "aspect_ratio": "16:9",
            "duration": "8s",
            "resolution": "720p",
            "delivery": "uri",
        }
        assert (body["background"], body["store"]) == (True, True)
        assert body["input"][0]["content"][0]["text"] == "boat\n\nAvoid: rain"

    @pytest.mark.parametrize(
        ("kind", "image_count", "task"),
        [
            (VideoKind.TEXT, 0, "text_to_video"),
            (VideoKind.FIRST_FRAME, 1, "image_to_video"),
            (VideoKind.FIRST_AND_LAST_FRAME, 2, "image_to_video"),
            (VideoKind.REFERENCES, 3, "reference_to_video"),
        ],
    )
    async def test_task_of_each_kind(self, kind, image_count, task):
        body = self.body(kind, [PICTURE] * image_count)
        assert body["generation_config"]["video_config"] == {"task": task}
        assert [piece["type"] for piece in body["input"][0]["content"]] == ["text"] + ["image"] * image_count

    async def test_extension_names_the_interaction_before(self):
        body = self.body(VideoKind.EXTEND, source=GoogleMedia("v1_before").handle("gemini"))
        assert body["previous_interaction_id"] == "v1_before"

    @pytest.mark.parametrize(
        ("kind", "images"),
        [(VideoKind.UPSCALE, ()), (VideoKind.FIRST_FRAME, ()), (VideoKind.TEXT, [PICTURE]), (VideoKind.EXTEND, ())],
    )
    async def test_what_it_cannot_make_is_refused_before_asking(self, kind, images):
        with pytest.raises(UpstreamFailure) as raised:
            self.body(kind, images)
        assert raised.value.failure_class is FailureClass.BAD_INPUT


class TestInteraction:
    def status(self, word, **members):
        return status_of(CALLS, HANDLE, {"id": "v1_abc", "status": word, **members})

    def output(self, *pieces):
        return [{"type": "thought", "summary": []}, {"type": "model_output", "content": list(pieces)}]

    @pytest.mark.parametrize(
        ("word", "state"),
        [
            ("queued", OperationState.PENDING),
            ("in_progress", OperationState.ACTIVE),
            ("brand_new", OperationState.PENDING),
            ("cancelled", OperationState.FAILED),
            ("incomplete", OperationState.FAILED),
            ("budget_exceeded", OperationState.FAILED),
            ("requires_action", OperationState.FAILED),
            ("requires_continuation", OperationState.FAILED),
            ("failed", OperationState.FAILED),
        ],
    )
    def test_words(self, word, state):
        status = self.status(word)
        assert status.state is state
        if state is OperationState.FAILED:
            assert status.failure.failure_class is FailureClass.UPSTREAM

    @pytest.mark.parametrize("where", [{"uri": "https://x/files/a"}, {"data": "QUJD"}])
    def test_completed_with_a_clip(self, where):
        status = self.status("completed", steps=self.output({"type": "video", "mime_type": "video/mp4", **where}))
        assert status.state is OperationState.SUCCEEDED
        assert GoogleMedia.read("gemini", status.media) == GoogleMedia("v1_abc", uri=where.get("uri", ""))

    def test_completed_tells_what_it_counted_for(self):
        usage = {
            "total_input_tokens": 270,
            "total_output_tokens": 46336,
            "total_thought_tokens": 31,
            "input_tokens_by_modality": [
                {"modality": "text", "tokens": 12},
                {"modality": "image", "tokens": 129},
                {"modality": "image", "tokens": 129},
            ],
        }
        clip = {"type": "video", "uri": "https://x/files/a"}
        status = self.status("completed", steps=self.output(clip), usage=usage)
        counted = UsageCount(270, input_text_tokens=12, input_image_tokens=258, output_tokens=46336, thought_tokens=31)
        assert status.usage == counted
        assert self.status("completed", steps=self.output(clip)).usage is None

    def test_completed_with_a_refusal_is_content(self):
        status = self.status("completed", steps=self.output({"type": "text", "text": "I cannot make this."}))
        assert status.failure.failure_class is FailureClass.CONTENT

    def test_completed_with_nothing_is_upstream(self):
        assert self.status("completed").failure.failure_class is FailureClass.UPSTREAM

    @pytest.mark.parametrize(
        ("members", "expected"),
        [
            ({"errors": [{"code": "safety", "message": "x"}]}, FailureClass.CONTENT),
            ({"errors": [{"code": "api_error"}, {"code": "image_safety"}]}, FailureClass.CONTENT),
            ({"errors": [{"code": "malformed_function_call", "message": "x"}]}, FailureClass.UPSTREAM),
            ({"errors": [{"code": "quota_exceeded", "message": "x"}]}, FailureClass.QUOTA_MODEL),
            ({"steps": [{"type": "model_output", "error": {"code": 13, "message": "x"}}]}, FailureClass.UPSTREAM),
            ({"steps": [{"error": {"code": 3, "message": "violates the guidelines"}}]}, FailureClass.CONTENT),
        ],
    )
    def test_failed_is_classified(self, members, expected):
        assert self.status("failed", **members).failure.failure_class is expected
