"""When two requests are the same: the digest of a body, and what a repeated idempotency key means."""

from __future__ import annotations

import hashlib

from flow2api_common.errors import Conflict
from flow2api_generation_service.videos.models import JobRow
from flow2api_proto.generation.v1 import video_pb2


def request_digest(request: video_pb2.CreateVideoRequest) -> str:
    """SHA-256 of what the client asked for, in hexadecimal.

    Left out: who asked and under which key, the deadline, which is reckoned from the time of each try, and the secret
    of the webhook, which no hash may help to guess.
    """
    body = video_pb2.CreateVideoRequest()
    body.CopyFrom(request)
    for field in ("request_id", "request_scope", "api_key_id", "deadline_time", "webhook_secret"):
        body.ClearField(field)
    return hashlib.sha256(body.SerializeToString(deterministic=True)).hexdigest()


def check_same_request(job: JobRow, digest: str) -> None:
    """Refuse a key that was used for another body. Raises Conflict with reason IDEMPOTENCY_CONFLICT."""
    if job.request_hash != digest:
        raise Conflict(
            "This idempotency key was used for another request.",
            reason="IDEMPOTENCY_CONFLICT",
            metadata={"video_id": job.video_id},
        )
