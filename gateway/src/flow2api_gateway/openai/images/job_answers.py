"""Answers with a job instead of pictures: for a client that prefers not to wait, or not for long."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response

from flow2api_gateway.edge.presence import while_present
from flow2api_gateway.edge.responses import json_response
from flow2api_gateway.errors.paid import after_payment
from flow2api_gateway.gateway import Gateway
from flow2api_gateway.generation.image_jobs import (
    FINAL_STATES,
    create_image_job,
    error_of_job,
    image_job_after,
    made_pictures,
)
from flow2api_gateway.openai.images.grpc_to_image_jobs import whole_image_job
from flow2api_gateway.openai.images.grpc_to_images import images_answer
from flow2api_gateway.openai.images.images_to_grpc import ImageAnswerForm, options_of
from flow2api_proto.generation.v1 import image_job_pb2, image_pb2

JOBS_PATH: Final = "/v1/images/generations"
_ACCEPTED: Final = 202
_LOOK_AGAIN: Final = {"retry-after": "2", "openai-poll-after-ms": "2000"}


async def answer_with_job(
    request: Request,
    gateway: Gateway,
    generation: image_pb2.GenerateImageRequest,
    form: ImageAnswerForm,
    wait: timedelta | None,
) -> Response:
    """202 and the job; with ``wait``, the pictures (or the error) when they are there by then.

    A client that goes away meanwhile leaves the job running.
    """
    wanted = image_job_pb2.CreateImageJobRequest(request=generation, answer_options=options_of(form))
    applied = "respond-async"
    job = await create_image_job(gateway.peers.generation, wanted)
    with after_payment():
        if wait is not None and wait <= gateway.settings.image_answer_timeout:
            applied = f"respond-async, wait={int(wait.total_seconds())}"
            awaited = image_job_after(gateway.peers.generation, job, wait)
            job = await while_present(request.receive, gateway.drain, awaited)
            if job.state == image_job_pb2.IMAGE_JOB_STATE_COMPLETED:
                document = await images_answer(gateway, made_pictures(job), form)
                return json_response(document, headers={"preference-applied": applied})
            if job.state == image_job_pb2.IMAGE_JOB_STATE_FAILED:
                raise error_of_job(job)
        return await job_answer(
            gateway,
            job,
            status=_ACCEPTED,
            headers={"location": f"{JOBS_PATH}/{job.generation_id}", "preference-applied": applied},
        )


async def job_answer(
    gateway: Gateway,
    job: image_job_pb2.ImageJob,
    *,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
    **extra: Any,
) -> Response:
    """The job, and when to look again while it has not ended; with what ``extra`` has to add."""
    polling = {} if job.state in FINAL_STATES else _LOOK_AGAIN
    document = await whole_image_job(gateway, job) | extra
    return json_response(document, status=status, headers={**polling, **(headers or {})})
