"""Which series of durations a job belongs to, in each of its stages."""

from __future__ import annotations

from flow2api_generation_service.durations.series import Series
from flow2api_generation_service.videos.models import JobRow
from flow2api_generation_service.videos.states import Stage
from flow2api_upstream.port import VideoKind

BASE_RESOLUTION = "720p"
"""What is enlarged afterwards is made in the resolution that every model has."""


def generate_series(job: JobRow, *, provider: str, upstream_model: str, is_enlarged: bool) -> Series:
    """That of the clip itself."""
    return Series(
        provider=provider,
        upstream_model=upstream_model,
        kind=job.kind,
        duration_seconds=job.duration_seconds,
        resolution=BASE_RESOLUTION if is_enlarged else job.resolution,
    )


def upscale_series(job: JobRow) -> Series:
    """That of its enlargement."""
    return Series(
        provider=job.provider or "",
        upstream_model=job.upsampler_model or "",
        kind=VideoKind.UPSCALE,
        duration_seconds=job.duration_seconds,
        resolution=job.upscale_to or job.resolution,
    )


def series_of(job: JobRow, stage: Stage) -> tuple[Series, int]:
    """The series of a stage that was handed in, and its usual time in seconds."""
    if stage is Stage.UPSCALE:
        return upscale_series(job), job.upscale_typical_seconds
    series = generate_series(
        job,
        provider=job.provider or "",
        upstream_model=job.upstream_model or "",
        is_enlarged=job.upsampler_model is not None,
    )
    return series, job.typical_duration_seconds
