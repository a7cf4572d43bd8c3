"""Wires the video jobs and runs what works in their background."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from flow2api_common.clock import Clock, utc_now
from flow2api_common.database import Database
from flow2api_common.lifecycle import BackgroundTasks
from flow2api_common.nats_client import NatsConnection, PullWorker
from flow2api_common.nats_streams import VIDEO_EVENTS, VIDEO_JOBS
from flow2api_generation_service.access import AccessClient
from flow2api_generation_service.catalog.catalog import Catalog
from flow2api_generation_service.durations.learning import Durations
from flow2api_generation_service.leasing import LeaseClient
from flow2api_generation_service.media.service import MediaService
from flow2api_generation_service.runtime.routes import Routes
from flow2api_generation_service.videos.changes import VideoChanges
from flow2api_generation_service.videos.create import VideoCreation
from flow2api_generation_service.videos.end import VideoEnd
from flow2api_generation_service.videos.events import EVENT_DURABLE, EVENT_SUBJECTS, EventConsumer
from flow2api_generation_service.videos.hand_in import HandIn
from flow2api_generation_service.videos.inputs import VideoInputs
from flow2api_generation_service.videos.outbox import OutboxRelay
from flow2api_generation_service.videos.read import VideoReader
from flow2api_generation_service.videos.restore import LeaseRestorer
from flow2api_generation_service.videos.servicer import VideoRpcs
from flow2api_generation_service.videos.settings import VideoSettings
from flow2api_generation_service.videos.submission import Submissions
from flow2api_generation_service.videos.submit import SUBMIT_DURABLE, SUBMIT_SUBJECTS, SubmitWorker
from flow2api_generation_service.videos.submit_generate import GenerateStage
from flow2api_generation_service.videos.submit_upscale import UpscaleStage
from flow2api_generation_service.videos.sweep import Sweeper
from flow2api_generation_service.videos.watch import VideoWatch
from flow2api_generation_service.videos.watched import WatchedVideos
from flow2api_generation_service.webhooks.job_receiver import JobReceivers
from flow2api_upstream.registry import ProviderRegistry

_EVENTS_IN_FLIGHT = 32


@asynccontextmanager
async def running_videos(
    *,
    settings: VideoSettings,
    database: Database,
    nats: NatsConnection,
    media: MediaService,
    leases: LeaseClient,
    access: AccessClient,
    catalog: Catalog,
    routes: Routes,
    providers: ProviderRegistry,
    receivers: JobReceivers,
    outbox: OutboxRelay,
    tasks: BackgroundTasks,
    clock: Clock = utc_now,
) -> AsyncIterator[VideoRpcs]:
    """The video RPCs, with submit worker, event consumer, sweeper and notifications at work behind them.

    ``tasks`` owns these and cancels them; on leaving, the two workers take nothing new any more.
    """
    changes = VideoChanges(nats=nats)
    submissions = Submissions(
        database=database, outbox=outbox, changes=changes, clock=clock, limit=settings.video_submit_limit
    )
    durations = Durations(database=database, clock=clock, interval=settings.video_learning_interval)
    hand_in = HandIn(submissions=submissions, leases=leases)
    generate = GenerateStage(
        database=database,
        changes=changes,
        leases=leases,
        providers=providers,
        inputs=VideoInputs(database=database, catalog=catalog, media=media),
        hand_in=hand_in,
        durations=durations,
        routes=routes,
        clock=clock,
        settings=settings,
    )
    upscale = UpscaleStage(
        database=database,
        outbox=outbox,
        changes=changes,
        leases=leases,
        providers=providers,
        hand_in=hand_in,
        durations=durations,
        clock=clock,
        settings=settings,
    )
    events = EventConsumer(
        database=database,
        outbox=outbox,
        changes=changes,
        media=media,
        leases=leases,
        durations=durations,
        prices=catalog.prices,
        clock=clock,
    )
    submit_worker = PullWorker(
        connection=nats,
        stream=VIDEO_JOBS,
        durable=SUBMIT_DURABLE,
        filter_subjects=[SUBMIT_SUBJECTS],
        handler=SubmitWorker(generate=generate, upscale=upscale).handle,
        max_in_flight=settings.video_submit_concurrency,
        ack_wait=settings.video_ack_wait,
    )
    event_worker = PullWorker(
        connection=nats,
        stream=VIDEO_EVENTS,
        durable=EVENT_DURABLE,
        filter_subjects=[EVENT_SUBJECTS],
        handler=events.handle,
        max_in_flight=_EVENTS_IN_FLIGHT,
        ack_wait=settings.video_ack_wait,
    )
    tasks.start("video-submit", submit_worker.run())
    tasks.start("video-events", event_worker.run())
    tasks.start("video-durations", durations.run())
    tasks.start("video-changes", changes.run())
    tasks.start("video-sweep", Sweeper(database=database, changes=changes, clock=clock, settings=settings).run())
    tasks.start("video-leases", LeaseRestorer(database=database, leases=leases, clock=clock).run())
    reader = VideoReader(database=database, clock=clock)
    watched = WatchedVideos(reader=reader, changes=changes, clock=clock)
    tasks.start("video-watch", watched.run())
    try:
        yield VideoRpcs(
            creation=VideoCreation(
                database=database,
                catalog=catalog,
                access=access,
                media=media,
                outbox=outbox,
                receivers=receivers,
                clock=clock,
                settings=settings,
            ),
            receivers=receivers,
            reader=reader,
            watch=VideoWatch(watched=watched),
            end=VideoEnd(database=database, media=media, changes=changes, clock=clock),
        )
    finally:
        submit_worker.request_stop()
        event_worker.request_stop()
