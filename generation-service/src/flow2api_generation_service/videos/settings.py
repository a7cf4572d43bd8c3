"""The settings of video jobs."""

from __future__ import annotations

from datetime import timedelta

from pydantic import Field

from flow2api_common.settings import Duration, Pause
from flow2api_generation_service.idempotency_keys import IdempotencySettings


class VideoSettings(IdempotencySettings):
    """How video jobs are handed in and watched over. Durations are seconds, or ISO 8601 such as ``PT5M``."""

    video_submit_concurrency: int = Field(default=32, ge=1)
    """Jobs that one replica hands to the upstream, or waits for a token with, at the same time."""
    video_lease_wait: Duration = timedelta(seconds=20)
    """How long one attempt waits for a token before the message goes back for a moment."""
    video_capacity_retry: Duration = timedelta(seconds=2)
    """Pause before a queued job looks for a token again."""
    video_no_account_grace: Pause = timedelta(minutes=1)
    """How long a job waits while no account of the pool could ever serve it, before it fails with
    `no_account_available`."""
    video_queue_timeout: Duration = timedelta(hours=6)
    """How long a job may wait for a token when its client set no deadline."""
    video_max_attempts: int = Field(default=4, ge=1)
    """Tokens that are tried for one job while nothing is paid for."""
    video_submit_limit: Duration = timedelta(minutes=2)
    """How long one submission may take in all; longer than the upstream's own timeout for it."""
    video_unknown_grace: Pause = timedelta(seconds=30)
    """How much longer than that an answer is waited for before a submission counts as unknown."""
    video_resubmit_unknown: bool = False
    """Hand a video, or a picture of an image job, in again although the answer to an earlier submission is unknown; may
    be charged twice."""
    video_ack_wait: Duration = timedelta(seconds=30)
    """After this JetStream gives the message of a dead worker to another one."""
    video_sweep_interval: Duration = timedelta(seconds=10)
    """How often overdue jobs are looked for."""
    video_overdue_grace: Pause = timedelta(minutes=15)
    """How long after its deadline a followed job may still be stored, before the sweeper ends it."""
    video_outbox_interval: Duration = timedelta(seconds=1)
    """How often the outbox is looked at when nobody said that there is something in it."""
    video_outbox_claim: Duration = timedelta(seconds=10)
    """After this another replica publishes what a dead one had taken out of the outbox."""
    video_learning_interval: Duration = timedelta(seconds=5)
    """How often what finished videos tell about durations is written down, and read by other replicas."""
