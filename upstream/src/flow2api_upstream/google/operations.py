"""What a long-running operation of Veo says. Source: docs/upstream/google-official.md, section 8."""

from collections.abc import Mapping

from flow2api_upstream.google import reasons
from flow2api_upstream.google.calls import GoogleCalls
from flow2api_upstream.google.classify import Scope, content, failure_of_error, upstream
from flow2api_upstream.google.handles import GoogleMedia, GoogleOperation
from flow2api_upstream.http import HttpRequest
from flow2api_upstream.json_reading import as_list, at, first_text, int_at, object_at, objects_at, text_at
from flow2api_upstream.port import (
    Account,
    OperationHandle,
    OperationState,
    OperationStatus,
    UpstreamFailure,
)

BYTES_MEMBER = "bytesBase64Encoded"
"""What holds a clip that comes inside the answer."""


async def read_operation(calls: GoogleCalls, account: Account, name: str) -> Mapping[str, object]:
    """The operation as it stands, a clip inside it cut short and nothing read behind it."""
    request = operation_request(calls, account, name)
    return await calls.short_answer(request, scope=Scope.STATUS, ends_at_long_text=True)


def operation_request(calls: GoogleCalls, account: Account, name: str) -> HttpRequest:
    """How an operation is read. Raises BAD_INPUT for a name that is none."""
    method, url, body = calls.api.operation_request(name)
    return calls.request(account, method, url, body)


def status_of(calls: GoogleCalls, handle: OperationHandle, answer: Mapping[str, object]) -> OperationStatus:
    """What an operation's answer says. Without ``done`` it goes on."""
    if answer.get("done") is not True:
        return OperationStatus(handle, OperationState.ACTIVE)
    error = object_at(answer, "error")
    if error:
        # The submission was accepted: it is not the model's name that is unknown.
        failure = failure_of_error(error, scope=Scope.STATUS, now=calls.clock())
        return OperationStatus(handle, OperationState.FAILED, failure=failure)
    videos = videos_of(answer)
    if not videos:
        return OperationStatus(handle, OperationState.FAILED, failure=_nothing_made(answer))
    name = GoogleOperation.read(calls.api.provider, handle).operation
    media = GoogleMedia(operation=name, uri=uri_of(videos[0]), mime_type=text_at(videos[0], "mimeType"))
    return OperationStatus(handle, OperationState.SUCCEEDED, media=media.handle(calls.api.provider), progress=1.0)


def videos_of(answer: Mapping[str, object]) -> list[Mapping[str, object]]:
    """The clips of a finished operation: those of Vertex, or of the Gemini API."""
    of_gemini = objects_at(answer, "response", "generateVideoResponse", "generatedSamples")
    found = [*objects_at(answer, "response", "videos"), *(object_at(sample, "video") for sample in of_gemini)]
    return [video for video in found if uri_of(video) or text_at(video, BYTES_MEMBER)]


def uri_of(video: Mapping[str, object]) -> str:
    """Where a clip is; empty for one inside the answer."""
    return first_text(text_at(video, "gcsUri"), text_at(video, "uri"))


def _nothing_made(answer: Mapping[str, object]) -> UpstreamFailure:
    response = object_at(answer, "response")
    response = object_at(response, "generateVideoResponse") or response
    told = [reason for reason in as_list(at(response, "raiMediaFilteredReasons")) if isinstance(reason, str)]
    if told or int_at(response, "raiMediaFilteredCount"):
        codes = reasons.support_codes(" ".join(told))
        words = next((reasons.SUPPORT_CODES[code] for code in codes if code in reasons.SUPPORT_CODES), "")
        message = f"The clip was withheld: {words}." if words else "The clip was withheld by the upstream's policy."
        return content(message, f"FILTERED_{codes[0]}" if codes else "FILTERED")
    return upstream("The upstream finished without a clip.", "no_video")
