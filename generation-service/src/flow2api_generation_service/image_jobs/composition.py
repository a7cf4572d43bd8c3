"""Wires the image jobs and runs what works in their background."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from flow2api_common.clock import Clock, utc_now
from flow2api_common.database import Database
from flow2api_common.lifecycle import BackgroundTasks
from flow2api_common.nats_client import NatsConnection, PullWorker
from flow2api_common.nats_streams import IMAGE_JOBS
from flow2api_generation_service.access import AccessClient
from flow2api_generation_service.catalog.catalog import Catalog
from flow2api_generation_service.draining import DrainingTasks
from flow2api_generation_service.image_jobs.create import GENERATE_SUBJECT, ImageJobCreation
from flow2api_generation_service.image_jobs.end import ImageJobEnd
from flow2api_generation_service.image_jobs.read import ImageJobReader
from flow2api_generation_service.image_jobs.run import ImageJobRuns
from flow2api_generation_service.image_jobs.servicer import ImageJobRpcs
from flow2api_generation_service.image_jobs.sweep import ImageJobSweeper
from flow2api_generation_service.image_jobs.watch import ImageJobWatch
from flow2api_generation_service.images.picture import PictureMaker
from flow2api_generation_service.media.service import MediaService
from flow2api_generation_service.settings import GenerationServiceSettings
from flow2api_generation_service.videos.changes import VideoChanges
from flow2api_generation_service.videos.outbox import OutboxRelay

GENERATE_DURABLE: Final = "image-generate"
CHANGED_SUBJECT: Final = "image.changed"
"""Plain NATS, no stream: ``image.changed.<generation_id>``, empty payload."""


@asynccontextmanager
async def running_image_jobs(
    *,
    settings: GenerationServiceSettings,
    database: Database,
    nats: NatsConnection,
    media: MediaService,
    access: AccessClient,
    catalog: Catalog,
    maker: PictureMaker,
    outbox: OutboxRelay,
    background: DrainingTasks,
    tasks: BackgroundTasks,
    clock: Clock = utc_now,
) -> AsyncIterator[ImageJobRpcs]:
    """The RPCs of image jobs, with worker, sweeper and notifications at work behind them.

    ``tasks`` owns these and cancels them, ``background`` the pictures; on leaving, nothing new is asked of the
    upstream.
    """
    changes = VideoChanges(nats=nats, subject=CHANGED_SUBJECT)
    runs = ImageJobRuns(
        database=database,
        catalog=catalog,
        media=media,
        maker=maker,
        background=background,
        changes=changes,
        clock=clock,
        settings=settings,
    )
    worker = PullWorker(
        connection=nats,
        stream=IMAGE_JOBS,
        durable=GENERATE_DURABLE,
        filter_subjects=[GENERATE_SUBJECT],
        handler=runs.handle,
        max_in_flight=settings.image_job_concurrency,
        ack_wait=settings.video_ack_wait,
    )
    sweeper = ImageJobSweeper(database=database, runs=runs, clock=clock, interval=settings.video_sweep_interval)
    tasks.start("image-jobs", worker.run())
    tasks.start("image-job-changes", changes.run())
    tasks.start("image-job-sweep", sweeper.run())
    reader = ImageJobReader(database=database, clock=clock, retention=settings.image_job_retention)
    try:
        yield ImageJobRpcs(
            creation=ImageJobCreation(
                database=database,
                catalog=catalog,
                access=access,
                media=media,
                outbox=outbox,
                clock=clock,
                settings=settings,
            ),
            reader=reader,
            watch=ImageJobWatch(reader=reader, changes=changes),
            end=ImageJobEnd(database=database, media=media, changes=changes, clock=clock),
        )
    finally:
        worker.request_stop()
        runs.stop()
