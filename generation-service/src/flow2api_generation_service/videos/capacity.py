"""A token for a queued job: which leases will do, how long to wait, and when waiting is pointless."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from flow2api_common.errors import CapacityError, Flow2APIError, UpstreamUnavailable
from flow2api_generation_service.catalog.video_plan import VideoOption
from flow2api_generation_service.leasing import HeldLease, LeaseClient, is_hopeless
from flow2api_generation_service.videos.endings import NO_ACCOUNT, Ending
from flow2api_generation_service.videos.models import JobRow
from flow2api_generation_service.videos.planning import SourceClip, lease_candidates
from flow2api_generation_service.videos.settings import VideoSettings
from flow2api_generation_service.videos.states import JobState
from flow2api_proto.tokens.v1 import token_pb2

_LONGEST_PAUSE: Final = timedelta(seconds=15)
_LONGEST_LEASE: Final = timedelta(hours=1)
_TIME_TO_UPLOAD: Final = timedelta(minutes=2)
_MARGIN: Final = timedelta(minutes=2)


class LeaseRefused(Exception):
    """No token now. ``ending`` is set when the job shall end with it, else ``retry`` is the pause before the next
    try. ``no_account_since`` is set while no account could ever serve it."""

    def __init__(
        self,
        *,
        retry: timedelta = timedelta(0),
        ending: Ending | None = None,
        no_account_since: datetime | None = None,
    ) -> None:
        super().__init__()
        self.retry = retry
        self.ending = ending
        self.no_account_since = no_account_since


async def take_lease(
    leases: LeaseClient,
    *,
    job: JobRow,
    options: Sequence[VideoOption],
    source: SourceClip | None,
    settings: VideoSettings,
    now: datetime,
) -> HeldLease:
    """Lease a token for the next attempt of a job. Raises LeaseRefused, and DependencyUnavailable.

    The attempt's number makes it safe to repeat: a worker that takes the job over from a dead one is given the same
    lease.
    """
    if not options:
        # Every route is switched off, or has proved dead for this job.
        raise _hopeless(job, _last_refusal(job), settings, now)
    try:
        return await leases.acquire(
            kind=token_pb2.KIND_VIDEO,
            candidates=lease_candidates(options, source),
            api_key_id=job.api_key_id,
            wait=min(settings.video_lease_wait, max(job.deadline_time - now, timedelta(0))),
            duration=lease_duration(settings, max(option.typical_duration_seconds for option in options)),
            request_id=f"{job.video_id}:{job.attempt_count + 1}",
            excluded=job.tried_token_ids,
        )
    except CapacityError as error:
        retry = max(error.retry_after or timedelta(0), settings.video_capacity_retry)
        raise LeaseRefused(retry=min(retry, _LONGEST_PAUSE)) from error
    except UpstreamUnavailable as error:
        # No account could renew its access, or none of the proxies works: the job waits for that like for capacity.
        retry = max(error.retry_after or timedelta(0), settings.video_capacity_retry)
        raise LeaseRefused(retry=min(retry, _LONGEST_PAUSE)) from error
    except Flow2APIError as error:
        if not is_hopeless(error):
            raise
        refusal = _last_refusal(job) if job.tried_token_ids else None
        raise _hopeless(job, refusal, settings, now, why=error.message) from error


def lease_duration(settings: VideoSettings, typical_seconds: int) -> timedelta:
    """Long enough until the poller renews it for the first time, at its first look."""
    return min(
        _TIME_TO_UPLOAD + settings.video_submit_limit + timedelta(seconds=typical_seconds) + _MARGIN, _LONGEST_LEASE
    )


def _hopeless(
    job: JobRow, refusal: Ending | None, settings: VideoSettings, now: datetime, *, why: str = ""
) -> LeaseRefused:
    """Nobody could ever serve it as things are: it ends as it was refused last, or after some time."""
    if refusal is not None:
        return LeaseRefused(ending=refusal)
    since = job.no_account_since or now
    if since + settings.video_no_account_grace <= now:
        return LeaseRefused(ending=replace(NO_ACCOUNT, message=why or NO_ACCOUNT.message))
    return LeaseRefused(retry=settings.video_capacity_retry, no_account_since=since)


def _last_refusal(job: JobRow) -> Ending | None:
    if not job.error_code or not job.error_message:
        return None
    return Ending(JobState.FAILED, job.error_code, job.error_message)
