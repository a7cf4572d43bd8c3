"""The event of a job that came to its end, written in the transaction that ended it."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any, Final

from sqlalchemy.ext.asyncio import AsyncSession

from flow2api_common.error_codes import client_code
from flow2api_common.errors import DependencyUnavailable, InternalError
from flow2api_common.ids import new_id
from flow2api_generation_service.image_jobs.errors import restored_error
from flow2api_generation_service.image_jobs.models import ImageJobRow
from flow2api_generation_service.image_jobs.states import ImageJobState
from flow2api_generation_service.videos.models import JobRow
from flow2api_generation_service.videos.states import JobState
from flow2api_generation_service.webhooks.models import EventType, WebhookEventRow

_OUR_FAULT: Final = "The pictures could not be made because of a fault of the service."


async def enqueue_ending(session: AsyncSession, job: JobRow, *, now: datetime) -> None:
    """Have everybody told who wants to know, once the transaction has committed. The job is final."""
    event_id = new_id("evt")
    event_type = EventType.COMPLETED if job.state == JobState.COMPLETED else EventType.FAILED
    subject: dict[str, Any] = {"id": job.video_id}
    if event_type is EventType.FAILED:
        subject["error"] = {"code": client_code(job.error_code or job.state), "message": job.error_message or ""}
    session.add(
        WebhookEventRow(
            event_id=event_id,
            event_type=event_type,
            video_id=job.video_id,
            api_key_id=job.api_key_id,
            payload=event_payload(event_id, event_type, subject, now),
            webhook_url=job.webhook_url,
            sealed_webhook_secret=job.sealed_webhook_secret,
            create_time=now,
        )
    )
    await session.flush()


async def enqueue_image_job_ending(session: AsyncSession, job: ImageJobRow, *, now: datetime) -> None:
    """The same for an image job: its key's receivers are told, or the installation's. The job is final."""
    event_id = new_id("evt")
    event_type = EventType.IMAGE_JOB_FAILED
    subject: dict[str, Any] = {"id": job.generation_id}
    if job.state == ImageJobState.COMPLETED:
        event_type = EventType.IMAGE_JOB_COMPLETED
    else:
        subject["error"] = _image_job_error(job)
    session.add(
        WebhookEventRow(
            event_id=event_id,
            event_type=event_type,
            video_id=job.generation_id,
            api_key_id=job.api_key_id,
            payload=event_payload(event_id, event_type, subject, now),
            webhook_url="",
            create_time=now,
        )
    )
    await session.flush()


def _image_job_error(job: ImageJobRow) -> dict[str, str]:
    if job.error is None:
        return {"code": job.state, "message": ""}
    error = restored_error(job.error)
    is_ours = isinstance(error, InternalError | DependencyUnavailable)
    return {"code": client_code(error.reason), "message": _OUR_FAULT if is_ours else error.message}


def event_payload(event_id: str, event_type: str, subject: dict[str, Any], now: datetime) -> str:
    """The body that is posted. Source: docs/upstream/openai.md, section 9."""
    event = {
        "id": event_id,
        "object": "event",
        "type": event_type,
        "created_at": int(now.timestamp()),
        "data": subject,
    }
    return json.dumps(event, ensure_ascii=False, separators=(",", ":"))
