"""Operations as the wire shows them. Source: docs/upstream/google-official.md, sections 7 (support codes) and 8."""

from typing import Any

from flow2api_sandbox.calls import Call
from flow2api_sandbox.faults import FaultKind
from flow2api_sandbox.media.inlined import InlinedFiles
from flow2api_sandbox.veo.store import VeoOperation

_SUPPORT_CODE = "58061214"
_CODES = {
    "INVALID_ARGUMENT": 3,
    "DEADLINE_EXCEEDED": 4,
    "NOT_FOUND": 5,
    "PERMISSION_DENIED": 7,
    "RESOURCE_EXHAUSTED": 8,
    "FAILED_PRECONDITION": 9,
    "INTERNAL": 13,
    "UNAVAILABLE": 14,
}
_MESSAGES = {
    3: "The prompt could not be submitted. It contains words that violate Google's usage guidelines.",
    4: "Deadline exceeded.",
    7: "The caller does not have permission",
    8: "Resource has been exhausted (e.g. check quota).",
    13: "Video generation failed due to an internal server issue: high load. Please try again.",
    14: "The service is currently unavailable.",
}


async def vertex_json(call: Call, operation: VeoOperation, files: InlinedFiles) -> dict[str, Any]:
    """What ``fetchPredictOperation`` answers, with clips inside placed as ``files``."""
    if not operation.is_over(call.world.clock.now()):
        return {"name": operation.name}
    if operation.has_failed:
        return _failed(operation)
    response: dict[str, Any] = {"@type": "type.googleapis.com/cloud.ai.large_models.vision.GenerateVideoResponse"}
    response["raiMediaFilteredCount"] = operation.filtered_count
    response |= _filter_reasons(operation)
    if operation.delivered_count:
        response["videos"] = await _vertex_videos(call, operation, files)
    return {"name": operation.name, "done": True, "response": response}


def gemini_json(call: Call, operation: VeoOperation) -> dict[str, Any]:
    """What a GET of the operation's name answers on the Gemini API."""
    if not operation.is_over(call.world.clock.now()):
        return {"name": operation.name}
    if operation.has_failed:
        return _failed(operation)
    generated: dict[str, Any] = _filter_reasons(operation)
    if operation.filtered_count:
        generated["raiMediaFilteredCount"] = operation.filtered_count
    uris = [
        f"{call.base_url}/v1beta/files/{file_id}:download?alt=media"
        for file_id in operation.file_ids[: operation.delivered_count]
    ]
    if uris:
        generated["generatedSamples"] = [{"video": {"uri": uri}} for uri in uris]
    response = {
        "@type": "type.googleapis.com/google.ai.generativelanguage.v1beta.PredictLongRunningResponse",
        "generateVideoResponse": generated,
    }
    return {"name": operation.name, "done": True, "response": response}


async def _vertex_videos(call: Call, operation: VeoOperation, files: InlinedFiles) -> list[dict[str, str]]:
    mime_type = operation.recipe.mime_type
    if operation.gcs_uris:
        return [{"gcsUri": str(uri), "mimeType": mime_type} for uri in operation.gcs_uris[: operation.delivered_count]]
    file = await call.world.sent_file(operation.recipe)
    return [{"bytesBase64Encoded": files.place(file), "mimeType": mime_type} for _ in range(operation.delivered_count)]


def _filter_reasons(operation: VeoOperation) -> dict[str, Any]:
    if not operation.filtered_count:
        return {}
    code = (operation.fault.reason if operation.fault else None) or _SUPPORT_CODE
    reason = (
        "The generated video was filtered out because it may violate Google's Responsible AI practices. Try"
        f" rephrasing the prompt. Support codes: {code}"
    )
    return {"raiMediaFilteredReasons": [reason] * operation.filtered_count}


def _failed(operation: VeoOperation) -> dict[str, Any]:
    """The error of a fault: ``fail`` is content (3), ``error_status`` high load (13), ``reason`` any gRPC status."""
    fault = operation.fault
    default = "INVALID_ARGUMENT" if fault is not None and fault.kind is FaultKind.FAIL else "INTERNAL"
    word = (fault.reason if fault else None) or default
    code = int(word) if word.isdigit() else _CODES.get(word, 2)
    message = (fault.message if fault else None) or _MESSAGES.get(code, "The operation failed.")
    return {"name": operation.name, "done": True, "error": {"code": code, "message": message, "details": []}}
