"""Image jobs as objects: ours, in the words of OpenAI's Video object and with the members of its Images answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from flow2api_gateway.errors.openai_errors import IMAGES_PATH, render_openai_error
from flow2api_gateway.generation.image_jobs import error_of_job, made_pictures
from flow2api_gateway.openai.images.grpc_to_images import images_answer
from flow2api_gateway.openai.images.images_to_grpc import form_of
from flow2api_proto.generation.v1 import image_job_pb2

if TYPE_CHECKING:
    from flow2api_gateway.gateway import Gateway

STATUSES: Final = {
    "queued": image_job_pb2.IMAGE_JOB_STATE_QUEUED,
    "in_progress": image_job_pb2.IMAGE_JOB_STATE_IN_PROGRESS,
    "completed": image_job_pb2.IMAGE_JOB_STATE_COMPLETED,
    "failed": image_job_pb2.IMAGE_JOB_STATE_FAILED,
    "cancelled": image_job_pb2.IMAGE_JOB_STATE_CANCELLED,
}
_STATUS_OF: Final = {state: status for status, state in STATUSES.items()}


def image_job_object(job: image_job_pb2.ImageJob) -> dict[str, Any]:
    """The job without its pictures."""
    status = _STATUS_OF.get(job.state, "in_progress")
    document: dict[str, Any] = {
        "id": job.generation_id,
        "object": "image.job",
        "status": status,
        "model": job.model_id,
        "n": job.image_count,
        "progress": 100 if status == "completed" else min(job.progress_percent, 99),
        "created_at": job.create_time.ToSeconds(),
        "completed_at": job.complete_time.ToSeconds() if job.HasField("complete_time") else None,
        "expires_at": job.expire_time.ToSeconds() if job.HasField("expire_time") else None,
        "error": None,
    }
    if status == "failed":
        document["error"] = render_openai_error(error_of_job(job), path=IMAGES_PATH).body["error"]
    return document


async def whole_image_job(gateway: Gateway, job: image_job_pb2.ImageJob) -> dict[str, Any]:
    """The job; once it has ended with pictures, with all that the answer to a client that waits would hold.

    Pictures whose time is over are left out.
    """
    document = image_job_object(job)
    made = made_pictures(job)
    is_over = document["status"] in ("completed", "cancelled")
    if document["status"] == "completed" or (is_over and made.images):
        created = job.complete_time.ToSeconds()
        document |= await images_answer(gateway, made, form_of(job.answer_options), created=created)
    return document
