"""Clips as Flow writes them, in the current and the old form. Source: docs/upstream/flow.md, sections 8 and 9."""

from typing import Any

from flow2api_sandbox.accounts import Account
from flow2api_sandbox.assets import ClipCourse, FlowAsset, GenerationStatus
from flow2api_sandbox.settings import AnswerForm

_DEFAULT_FAILURE = "PUBLIC_ERROR_UNSAFE_GENERATION"
_INVALID_ARGUMENT, _INTERNAL = 3, 13


def submit_answer(form: AnswerForm, account: Account, clips: list[FlowAsset]) -> dict[str, Any]:
    """The answer of a submit; the balance is the one after the charge."""
    answer: dict[str, Any] = {"remainingCredits": account.credits}
    if form is not AnswerForm.OLD:
        answer["workflows"] = [
            {"name": clip.workflow_id, "projectId": clip.project_id, "metadata": {"primaryMediaId": clip.name}}
            for clip in clips
        ]
        answer["media"] = [_submitted_entry(clip) for clip in clips]
    if form is not AnswerForm.CURRENT:
        answer["operations"] = [
            {
                "operation": {"name": course_of(clip).operation_name},
                "sceneId": course_of(clip).scene_id,
                "status": GenerationStatus.PENDING.value,
            }
            for clip in clips
        ]
    return answer


def current_status_entry(clip: FlowAsset, now: float, url: str | None) -> dict[str, Any]:
    """One clip in a status answer of the current form; ``url`` is given when it shall be there."""
    course = course_of(clip)
    media_status: dict[str, Any] = {"mediaGenerationStatus": course.status(now).value}
    if (failure := _failure(course, now)) is not None:
        reason, error = failure
        media_status["error"] = error
        media_status["failureReasons"] = [reason]
    entry: dict[str, Any] = {
        "name": clip.name,
        "projectId": clip.project_id,
        "workflowId": clip.workflow_id,
        "mediaMetadata": {"mediaStatus": media_status},
    }
    if course.status(now) is GenerationStatus.SUCCESSFUL:
        entry["video"] = {
            "operation": {"name": course.operation_name},
            "generatedVideo": {
                "seed": clip.seed,
                "model": clip.model,
                "prompt": clip.prompt,
                "aspectRatio": clip.aspect_ratio,
            },
            "dimensions": {"length": f"{getattr(clip.recipe, 'seconds', 8)}s"},
        }
        if url is not None:
            entry["video"]["fifeUrl"] = url
    return entry


def old_status_entry(clip: FlowAsset, now: float, url: str | None) -> dict[str, Any]:
    """One clip in a status answer of the old form."""
    course = course_of(clip)
    operation: dict[str, Any] = {"name": course.operation_name}
    if (failure := _failure(course, now)) is not None:
        operation["error"] = failure[1]
    if course.status(now) is GenerationStatus.SUCCESSFUL:
        video: dict[str, Any] = {
            "mediaGenerationId": clip.name,
            "seed": clip.seed,
            "aspectRatio": clip.aspect_ratio,
            "model": clip.model,
            "prompt": clip.prompt,
        }
        if url is not None:
            video["fifeUrl"] = url
        operation["metadata"] = {"video": video}
    return {"operation": operation, "sceneId": course.scene_id, "status": course.status(now).value}


def course_of(clip: FlowAsset) -> ClipCourse:
    """The course of a generated clip, which has one by construction."""
    if clip.course is None:
        raise TypeError(f"{clip.name} was not generated as a clip")
    return clip.course


def _submitted_entry(clip: FlowAsset) -> dict[str, Any]:
    control = {"videoModelName": clip.model, "videoAspectRatio": clip.aspect_ratio}
    return {
        "name": clip.name,
        "projectId": clip.project_id,
        "workflowId": clip.workflow_id,
        "mediaMetadata": {
            "mediaStatus": {"mediaGenerationStatus": GenerationStatus.PENDING.value},
            "requestData": {"videoGenerationRequestData": {"videoModelControlInput": control}},
        },
    }


def _failure(course: ClipCourse, now: float) -> tuple[str, dict[str, Any]] | None:
    status = course.status(now)
    if status not in (GenerationStatus.FAILED, GenerationStatus.ERROR) or course.fault is None:
        return None
    is_error = status is GenerationStatus.ERROR
    reason = course.fault.reason or ("PUBLIC_ERROR_SOMETHING_WENT_WRONG" if is_error else _DEFAULT_FAILURE)
    return reason, {"code": _INTERNAL if is_error else _INVALID_ARGUMENT, "message": reason}
