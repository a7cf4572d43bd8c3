"""A video job, an image job, and an attempt, as administrators see them."""

from __future__ import annotations

from functools import partial
from typing import Any, Final

from flow2api_gateway.admin.times import iso_time
from flow2api_gateway.gateway import Gateway
from flow2api_gateway.openai.images.grpc_to_image_jobs import STATUSES, image_job_object
from flow2api_gateway.openai.requests import link_to
from flow2api_gateway.openai.videos.grpc_to_videos import video_object
from flow2api_proto.generation.v1 import attempt_pb2, image_job_pb2, video_pb2
from flow2api_proto.tokens.v1 import token_pb2

VIDEO_STATES: Final = {name.removeprefix("VIDEO_STATE_").lower(): value for name, value in video_pb2.VideoState.items()}
IMAGE_JOB_STATUSES: Final = STATUSES
_STATE_NAMES: Final = {value: name for name, value in VIDEO_STATES.items()}


def job_json(gateway: Gateway, video: video_pb2.Video) -> dict[str, Any]:
    """The client's document, with the state and where it is served."""
    placement = video.placement
    return video_object(video, partial(link_to, gateway)) | {
        "state": _STATE_NAMES.get(video.state, "unknown"),
        "api_key_id": video.api_key_id,
        "submitted_at": iso_time(video, "submit_time"),
        "provider": placement.provider or None,
        "upstream_model": placement.upstream_model or None,
        "token_id": placement.token_id or None,
        "operation_name": placement.operation_name or None,
        "credits": placement.credits if placement.HasField("credits") else None,
        "failure": {"code": video.error.code, "message": video.error.message} if video.error.code else None,
    }


def image_job_json(job: image_job_pb2.ImageJob) -> dict[str, Any]:
    """The client's document without the pictures, with the state under the name that jobs of videos have for it."""
    document = image_job_object(job)
    return document | {
        "state": document["status"],
        "api_key_id": job.api_key_id,
        "deadline_at": iso_time(job, "deadline_time"),
        "failure": {"code": job.error.reason.lower(), "message": job.error.message} if job.error.reason else None,
    }


def attempt_json(attempt: attempt_pb2.Attempt, token: token_pb2.Token | None) -> dict[str, Any]:
    """One try; ``token`` is the account that it was made on, unless that has left the pool."""
    return {
        "line": attempt.line,
        "provider": attempt.provider,
        "upstream_model": attempt.upstream_model,
        "token_id": attempt.token_id,
        "account": (token.email or None) if token is not None else None,
        "remark": (token.remark or None) if token is not None else None,
        "location": attempt.location or None,
        "passed_by": list(attempt.passed_by),
        "passed_why": {
            route.route: {"accounts": dict(route.token_counts), "until": iso_time(route, "earliest_time")}
            for route in attempt.passed_routes
        },
        "outcome": attempt.outcome or None,
        "reason": attempt.reason or None,
        "next": attempt.next_step or None,
        "started_at": iso_time(attempt, "start_time"),
        "ended_at": iso_time(attempt, "end_time"),
    }
