"""Errors of image jobs: those of their own, and how an error is kept with a job."""

from __future__ import annotations

from typing import Any, Final

from flow2api_common.errors import FailedPrecondition, Flow2APIError, InternalError, NotFound, UpstreamTimeout
from flow2api_common.errors import UpstreamUnavailable as Unavailable
from flow2api_common.grpc_errors import ERROR_CLASSES, error_class_name
from flow2api_common.logs import redact

_MAX_MESSAGE: Final = 1000


class PictureLost(Exception):
    """The picture is not ours to ask for any more: its job was cancelled or deleted, or another worker has it."""


def image_job_not_found(generation_id: str) -> NotFound:
    """The job does not exist, or is somebody else's."""
    return NotFound(
        "The image job does not exist.", reason="IMAGE_JOB_NOT_FOUND", metadata={"generation_id": generation_id[:64]}
    )


def already_final(state: str) -> FailedPrecondition:
    """The job has ended."""
    return FailedPrecondition(f"The image job is already {state}.", reason="IMAGE_JOB_ALREADY_FINAL")


def submission_unknown() -> Unavailable:
    """The upstream was asked, and its answer was lost with the process that waited for it."""
    return Unavailable(
        "The upstream was asked for the picture but its answer was lost. Asking again could charge twice.",
        reason="SUBMISSION_UNKNOWN",
        paid=True,
    )


def expired() -> UpstreamTimeout:
    """No account came free in time."""
    return UpstreamTimeout("No account came free for the picture before the deadline of its job.", reason="EXPIRED")


def kept_error(error: Flow2APIError) -> dict[str, Any]:
    """An error as the tables keep it, with the fields of ImageJobError. What is our own fault is not told."""
    is_ours = type(error) is Flow2APIError or type(error) is InternalError
    return {
        "error_class": error_class_name(error),
        "reason": error.reason,
        "message": "internal error" if is_ours else redact(error.message)[:_MAX_MESSAGE],
        "metadata": {} if is_ours else {name: redact(value) for name, value in error.metadata.items()},
    }


def restored_error(kept: dict[str, Any]) -> Flow2APIError:
    """The error that `kept_error` has kept."""
    error_class = ERROR_CLASSES.get(str(kept.get("error_class")), InternalError)
    return error_class(str(kept["message"]), reason=str(kept["reason"]), metadata=kept.get("metadata") or {})
