"""Jobs as long-running operations. Source: docs/upstream/google-official.md, section 8."""

from __future__ import annotations

from typing import Any, Final

from flow2api_gateway.errors.google_errors import render_google_error
from flow2api_gateway.gemini.files.grpc_to_files import download_uri
from flow2api_gateway.gemini.files.lookup import file_of_video
from flow2api_gateway.generation.videos import FINAL_STATES
from flow2api_gateway.media.links import MediaLinks
from flow2api_gateway.openai.video_errors import video_failure
from flow2api_proto.generation.v1 import video_pb2

_TYPE: Final = "type.googleapis.com/google.ai.generativelanguage.v1beta."
_GRPC_CODES: Final = {
    "INVALID_ARGUMENT": 3,
    "DEADLINE_EXCEEDED": 4,
    "NOT_FOUND": 5,
    "ALREADY_EXISTS": 6,
    "PERMISSION_DENIED": 7,
    "RESOURCE_EXHAUSTED": 8,
    "FAILED_PRECONDITION": 9,
    "ABORTED": 10,
    "INTERNAL": 13,
    "UNAVAILABLE": 14,
}
_CANCELLED: Final = 1
_UNKNOWN: Final = 2


def operation_name(video: video_pb2.Video) -> str:
    """How the operation of a job is called."""
    return f"models/{video.model_id}/operations/{video.video_id}"


def operation(video: video_pb2.Video, links: MediaLinks) -> dict[str, Any]:
    """The operation as of now. Content that was refused is a response without a clip, as Google has it."""
    document: dict[str, Any] = {"name": operation_name(video)}
    if video.state not in FINAL_STATES:
        document["metadata"] = {
            "@type": f"{_TYPE}PredictLongRunningMetadata",
            "progressPercent": video.progress_percent,
        }
        return document
    document["done"] = True
    if video.state == video_pb2.VIDEO_STATE_COMPLETED:
        uri = download_uri(links, file_of_video(video.video_id))
        document["response"] = _response({"generatedSamples": [{"video": {"uri": uri}}]})
    elif video.state == video_pb2.VIDEO_STATE_FILTERED:
        reason = video.error.message or "The content was refused."
        document["response"] = _response({"raiMediaFilteredCount": 1, "raiMediaFilteredReasons": [reason]})
    else:
        document["error"] = operation_error(video)
    return document


def operation_error(video: video_pb2.Video) -> dict[str, Any]:
    """The ``google.rpc.Status`` of a job that has failed."""
    failure = video_failure(video)
    if video.state == video_pb2.VIDEO_STATE_CANCELLED:
        return {"code": _CANCELLED, "message": video.error.message or "The operation was cancelled.", "details": []}
    error = render_google_error(failure).body["error"]
    code = _GRPC_CODES.get(error["status"], _UNKNOWN)
    return {"code": code, "message": error["message"], "details": error.get("details", [])}


def _response(generated: dict[str, Any]) -> dict[str, Any]:
    return {"@type": f"{_TYPE}PredictLongRunningResponse", "generateVideoResponse": generated}
