"""Each documented answer shape of Flow. Source: docs/upstream/flow.md."""

from datetime import UTC, datetime

import pytest

from flow2api_upstream.flow.calls import FlowCalls, client_context, seed_within
from flow2api_upstream.flow.cookies import COOKIE_NAME, renewed_session_token, session_cookie_header
from flow2api_upstream.flow.handles import FlowMedia, FlowOperation
from flow2api_upstream.flow.images import image_body, image_result
from flow2api_upstream.flow.upload import uploaded_media
from flow2api_upstream.flow.videos_status import statuses_of
from flow2api_upstream.flow.videos_submit import KINDS, submission_of, video_body
from flow2api_upstream.flow.wire import url_of
from flow2api_upstream.port import (
    Account,
    AccountTier,
    FailureClass,
    ImageCall,
    OperationState,
    SourceImage,
    UploadedImage,
    UpstreamFailure,
    VideoCall,
    VideoKind,
)

ACCOUNT = Account(1, bearer="b", session_token="s", project_id="p", tier=AccountTier.TWO)
CALLS = FlowCalls(None, None, lambda: datetime(2026, 11, 23, tzinfo=UTC))
PICTURE = UploadedImage(handle=FlowMedia(name="i1", project="p").handle())
CLIP = FlowMedia(name="m1", project="p", workflow="w1").handle()
UUID = "0d3e0d3e-0d3e-4d3e-8d3e-0d3e0d3e0d3e"
P = "MEDIA_GENERATION_STATUS_"


class TestUpload:
    @pytest.mark.parametrize(
        ("answer", "name"),
        [
            ({"media": {"name": "a", "projectId": "p2"}}, "a"),
            ({"media": [{"name": "b", "projectId": "p2"}]}, "b"),
            ({"mediaGenerationId": {"mediaGenerationId": "CAMa"}}, "CAMa"),
        ],
    )
    def test_each_shape_is_read(self, answer, name):
        assert uploaded_media(answer, "p").name == name

    @pytest.mark.parametrize("answer", [{}, {"media": []}, {"media": {}}, {"media": None}])
    def test_success_without_a_name_is_a_failure(self, answer):
        with pytest.raises(UpstreamFailure) as raised:
            uploaded_media(answer, "p")
        assert raised.value.failure_class is FailureClass.UPSTREAM


class TestImages:
    def test_body_has_the_context_outside_and_inside(self):
        body = image_body(ACCOUNT, ImageCall("NARWHAL", "cat", "4:3", "1K", 5, [PICTURE]), ";1767225600123")
        (request,) = body["requests"]
        assert body["clientContext"] == request["clientContext"]
        assert body["clientContext"] == {"sessionId": ";1767225600123", "projectId": "p", "tool": "PINHOLE"}
        assert request["imageAspectRatio"] == "IMAGE_ASPECT_RATIO_LANDSCAPE_FOUR_THREE"
        assert request["imageInputs"] == [{"name": "i1", "imageInputType": "IMAGE_INPUT_TYPE_REFERENCE"}]
        assert body["useNewMedia"] is True

    async def test_picture_behind_a_link(self):
        answer = {"media": [{"name": "n", "image": {"generatedImage": {"fifeUrl": "https://x/y", "seed": 5}}}]}
        result = await image_result(answer, "p", ";1")
        assert (result.url, result.data, result.seed) == ("https://x/y", None, 5)
        assert FlowMedia.read(result.handle) == FlowMedia(name="n", project="p", session=";1")

    async def test_picture_inside_the_answer(self):
        answer = {"media": [{"name": "n", "image": {"generatedImage": {"fifeUrl": "", "encodedImage": "/9j/"}}}]}
        result = await image_result(answer, "p", ";1")
        assert (result.url, result.data, result.mime_type) == (None, b"\xff\xd8\xff", "image/jpeg")

    @pytest.mark.parametrize("answer", [{}, {"media": []}, {"media": [{"name": "n"}]}, {"workflows": [{}]}])
    async def test_success_without_a_picture_was_filtered(self, answer):
        with pytest.raises(UpstreamFailure) as raised:
            await image_result(answer, "p", ";1")
        assert raised.value.failure_class is FailureClass.CONTENT

    def test_unknown_ratio_and_inline_picture_are_refused_before_asking(self):
        inline = UploadedImage(inline=SourceImage(b"x", "image/png"))
        for call in (ImageCall("N", "c", "21:9", "1K", 1), ImageCall("N", "c", "1:1", "1K", 1, [inline])):
            with pytest.raises(UpstreamFailure) as raised:
                image_body(ACCOUNT, call, ";1")
            assert raised.value.failure_class is FailureClass.BAD_INPUT


CURRENT = {
    "remainingCredits": 900,
    "workflows": [{"name": "w9", "metadata": {"primaryMediaId": "m1"}}],
    "media": [{"name": "m1", "projectId": "p2"}],
}
OLD = {
    "operations": [{"operation": {"name": "op-1"}, "sceneId": "s1", "status": f"{P}PENDING"}],
    "remainingCredits": 900,
}


class TestSubmission:
    def test_current_form(self):
        submission = submission_of(CURRENT, "p")
        operation = FlowOperation.read(submission.operation)
        assert operation == FlowOperation(name="m1", project="p2", workflow="w9")
        assert (submission.operation_name, submission.remaining_credits) == ("m1", 900)

    def test_own_workflow_wins_over_the_list(self):
        answer = {**CURRENT, "media": [{"name": "m1", "workflowId": "w1"}]}
        operation = FlowOperation.read(submission_of(answer, "p").operation)
        assert (operation.workflow, operation.project) == ("w1", "p")

    def test_old_form(self):
        submission = submission_of(OLD, "p")
        assert FlowOperation.read(submission.operation) == FlowOperation(project="p", operation="op-1", scene="s1")
        assert submission.operation_name == "op-1"

    def test_both_forms_are_one_clip(self):
        operation = FlowOperation.read(submission_of(CURRENT | OLD, "p").operation)
        assert operation.names == {"m1", "op-1"}
        assert operation.scene == "s1"

    def test_both_forms_with_equal_names_are_one_clip(self):
        old = {"operations": [{"operation": {"name": "m1"}, "sceneId": "s1"}]}
        operation = FlowOperation.read(submission_of(CURRENT | old, "p").operation)
        assert (operation.name, operation.operation) == ("m1", "m1")

    @pytest.mark.parametrize("answer", [{}, {"media": []}, {"operations": [{"sceneId": "x"}]}])
    def test_success_without_a_name_may_have_been_charged(self, answer):
        with pytest.raises(UpstreamFailure) as raised:
            submission_of(answer, "p")
        assert raised.value.may_have_been_accepted


class TestVideoBody:
    def body(self, kind, images=(), **changes):
        fields = {"resolution": "720p", "source": None, "seed": 5, **changes}
        call = VideoCall("key", kind, "waves", "9:16", 8, images=images, **fields)
        body = video_body(ACCOUNT, call)
        return body, body["requests"][0]

    def test_frame_of_every_body(self):
        body, request = self.body(VideoKind.TEXT)
        assert body["useV2ModelConfig"] is True
        assert body["mediaGenerationContext"]["audioFailurePreference"] == "BLOCK_SILENCED_VIDEOS"
        assert body["clientContext"]["userPaygateTier"] == "PAYGATE_TIER_TWO"
        assert request["textInput"] == {"structuredPrompt": {"parts": [{"text": "waves"}]}}
        assert request["aspectRatio"] == "VIDEO_ASPECT_RATIO_PORTRAIT"
        assert request["metadata"] == {}

    def test_first_frame(self):
        assert self.body(VideoKind.FIRST_FRAME, [PICTURE])[1]["startImage"] == {"mediaId": "i1"}

    def test_two_frames(self):
        request = self.body(VideoKind.FIRST_AND_LAST_FRAME, [PICTURE, PICTURE])[1]
        assert (request["startImage"], request["endImage"]) == ({"mediaId": "i1"}, {"mediaId": "i1"})

    def test_references(self):
        request = self.body(VideoKind.REFERENCES, [PICTURE] * 3)[1]
        assert request["referenceImages"] == [{"imageUsageType": "IMAGE_USAGE_TYPE_ASSET", "mediaId": "i1"}] * 3

    def test_extend(self):
        request = self.body(VideoKind.EXTEND, source=CLIP)[1]
        assert (request["videoInput"], request["metadata"]) == ({"mediaId": "m1"}, {"workflowId": "w1"})

    def test_upscale_has_no_prompt(self):
        request = self.body(VideoKind.UPSCALE, source=CLIP, resolution="4k")[1]
        assert "textInput" not in request
        assert request["resolution"] == "VIDEO_RESOLUTION_4K"
        assert set(request["metadata"]) == {"sceneId"}

    @pytest.mark.parametrize(
        ("kind", "images", "changes"),
        [
            (VideoKind.TEXT, [PICTURE], {}),
            (VideoKind.FIRST_FRAME, [], {}),
            (VideoKind.FIRST_AND_LAST_FRAME, [PICTURE], {}),
            (VideoKind.REFERENCES, [], {}),
            (VideoKind.EXTEND, [], {}),
            (VideoKind.EXTEND, [], {"source": FlowMedia(name="m1").handle()}),
            (VideoKind.UPSCALE, [], {"source": CLIP}),
        ],
    )
    def test_what_a_kind_does_not_take_is_refused(self, kind, images, changes):
        with pytest.raises(UpstreamFailure) as raised:
            self.body(kind, images, **changes)
        assert raised.value.failure_class is FailureClass.BAD_INPUT

    def test_every_kind_has_a_path(self):
        assert set(KINDS) == set(VideoKind)


class TestStatus:
    OPERATION = FlowOperation(name="m1", project="p", workflow="w1", operation="op-1")

    def status(self, answer, operation=OPERATION):
        handle = operation.handle()
        return statuses_of(CALLS, answer, {handle: operation})[handle]

    @pytest.mark.parametrize(
        ("word", "state"),
        [
            (f"{P}PENDING", OperationState.PENDING),
            (f"{P}ACTIVE", OperationState.ACTIVE),
            (f"{P}SUCCESSFUL", OperationState.SUCCEEDED),
            (f"{P}FAILED", OperationState.FAILED),
            (f"{P}ERROR", OperationState.FAILED),
            (f"{P}ERROR_UNKNOWN", OperationState.FAILED),
            (f"{P}UNSPECIFIED", OperationState.PENDING),
            ("SOMETHING_NEW", OperationState.PENDING),
            ("", OperationState.PENDING),
        ],
    )
    @pytest.mark.parametrize("place", ["deep", "shallow", "old"])
    def test_word_is_found_wherever_it_is(self, word, state, place):
        status = {"mediaGenerationStatus": word}
        answer = {
            "deep": {"media": [{"name": "m1", "mediaMetadata": {"mediaStatus": status}}]},
            "shallow": {"media": [{"name": "m1", "mediaStatus": status}]},
            "old": {"operations": [{"operation": {"name": "op-1"}, "status": word}]},
        }[place]
        assert self.status(answer).state is state

    def test_entry_that_is_not_there_is_missing(self):
        assert self.status({"media": [{"name": "other"}]}).state is OperationState.MISSING

    def test_media_keeps_what_was_known_and_takes_the_link(self):
        entry = {
            "name": "m1",
            "mediaMetadata": {"mediaStatus": {"mediaGenerationStatus": f"{P}SUCCESSFUL"}},
            "video": {"operation": {"name": "op-1"}, "fifeUrl": f"https://flow-content.google/video/{UUID}?t=x"},
        }
        media = FlowMedia.read(self.status({"media": [entry]}).media)
        assert (media.name, media.workflow, media.project) == ("m1", "w1", "p")
        assert media.url.endswith("?t=x")

    def test_old_form_learns_its_name_from_the_link(self):
        operation = FlowOperation(project="p", operation="op-1")
        video = {"fifeUrl": f"https://flow-content.google/video/{UUID}?Expires=1", "mediaGenerationId": "CAMa"}
        entry = {"operation": {"name": "op-1", "metadata": {"video": video}}, "status": f"{P}SUCCESSFUL"}
        assert FlowMedia.read(self.status({"operations": [entry]}, operation).media).name == UUID

    def test_both_forms_give_the_furthest_state(self):
        answer = {
            "media": [{"name": "m1", "mediaStatus": {"mediaGenerationStatus": f"{P}ACTIVE"}}],
            "operations": [{"operation": {"name": "op-1"}, "status": f"{P}SUCCESSFUL"}],
        }
        assert self.status(answer).state is OperationState.SUCCEEDED

    def test_failure_is_classified(self):
        status = {"mediaGenerationStatus": f"{P}FAILED", "failureReasons": ["PUBLIC_ERROR_MINOR"]}
        answer = {"media": [{"name": "m1", "mediaMetadata": {"mediaStatus": status}}]}
        assert self.status(answer).failure.failure_class is FailureClass.CONTENT

    def test_hidden_media_is_content(self):
        metadata = {"mediaStatus": {"mediaGenerationStatus": f"{P}SUCCESSFUL"}, "visibility": "FILTERED"}
        status = self.status({"media": [{"name": "m1", "mediaMetadata": metadata}]})
        assert status.failure.failure_class is FailureClass.CONTENT

    @pytest.mark.parametrize("name", ["fifeUrl", "videoUrl", "outputUri", "downloadUri"])
    def test_link_may_be_anywhere_under_video(self, name):
        assert url_of({"video": {"deep": [{"er": {name: "https://x/y"}}]}}) == "https://x/y"


class TestCookies:
    def test_short_value_is_one_cookie(self):
        assert session_cookie_header("abc") == f"{COOKIE_NAME}=abc"

    def test_long_value_goes_in_pieces_and_comes_back(self):
        token = "".join(chr(97 + number % 26) for number in range(9000))
        header = session_cookie_header(token)
        assert header.count(COOKIE_NAME) == 3
        pieces = [f"{piece}; Path=/; Secure" for piece in header.split("; ")]
        assert renewed_session_token(reversed(pieces), "old") == token

    @pytest.mark.parametrize(
        ("headers", "renewed"),
        [
            ([f"{COOKIE_NAME}=new; Path=/; HttpOnly; Secure; SameSite=Lax"], "new"),
            ([f"{COOKIE_NAME}.0=ne; Path=/", f"{COOKIE_NAME}.1=w; Path=/"], "new"),
            ([f"{COOKIE_NAME}.1=w; Path=/"], None),
            ([f"{COOKIE_NAME}=old; Path=/"], None),
            ([f"{COOKIE_NAME}=; Path=/; Max-Age=0"], None),
            ([f"{COOKIE_NAME}=gone; Max-Age=0"], None),
            (["other=1", "broken"], None),
            ([], None),
        ],
    )
    def test_renewed_value(self, headers, renewed):
        assert renewed_session_token(headers, "old") == renewed


def test_context_has_the_tier_only_where_it_belongs():
    assert "userPaygateTier" not in client_context(ACCOUNT)
    assert client_context(Account(1, bearer=""), with_tier=True)["userPaygateTier"] == "PAYGATE_TIER_NOT_PAID"


@pytest.mark.parametrize("seed", [-5, 0, 1, 99_999, 100_000, 2**40])
def test_seed_is_brought_within_the_range(seed):
    assert 1 <= seed_within(seed, 99_999) <= 99_999


def test_seed_within_the_range_is_kept():
    assert seed_within(31415, 99_999) == 31415
