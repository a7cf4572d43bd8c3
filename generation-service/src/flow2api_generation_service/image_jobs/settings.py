"""The settings of image jobs."""

from __future__ import annotations

from datetime import timedelta

from pydantic import Field

from flow2api_common.settings import BaseServiceSettings, Duration


class ImageJobSettings(BaseServiceSettings):
    """How image jobs are made. What they have in common with videos is set there: the waits for a token
    (``FLOW2API_VIDEO_LEASE_WAIT``, ``FLOW2API_VIDEO_CAPACITY_RETRY``, ``FLOW2API_VIDEO_NO_ACCOUNT_GRACE``), the ack
    wait, the sweep, and ``FLOW2API_VIDEO_RESUBMIT_UNKNOWN``. Durations are seconds, or ISO 8601 such as ``PT5M``."""

    image_job_concurrency: int = Field(default=32, ge=1)
    """Image jobs that one replica makes, or waits for a token with, at the same time."""
    image_job_queue_timeout: Duration = timedelta(hours=1)
    """How long the pictures of an image job may wait for a token; those that wait longer end as `expired`."""
    image_job_claim: Duration = timedelta(seconds=30)
    """After this another replica takes over the image jobs of a dead one. What that one had asked the upstream for, and
    whose answer nobody has, is not asked for again unless ``FLOW2API_VIDEO_RESUBMIT_UNKNOWN`` says so."""
    image_job_retention: Duration = timedelta(days=7)
    """How long image jobs that have ended can be read. Their pictures go after ``FLOW2API_MEDIA_RETENTION``."""
