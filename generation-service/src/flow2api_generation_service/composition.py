"""Builds the service from its settings and runs it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass

import grpc
from sqlalchemy.ext.asyncio import AsyncSession

from flow2api_common.clock import Clock, utc_now
from flow2api_common.database import Database
from flow2api_common.errors import DependencyUnavailable
from flow2api_common.grpc_client import open_channel
from flow2api_common.grpc_server import GrpcServer
from flow2api_common.lifecycle import BackgroundTasks, RunningService
from flow2api_common.media_store import MediaStore
from flow2api_common.nats_client import NatsConnection, nats_connection
from flow2api_generation_service.access import AccessClient
from flow2api_generation_service.attempts.listing import AttemptListing
from flow2api_generation_service.catalog.catalog import Catalog, load_catalog
from flow2api_generation_service.cleanup import Cleanup
from flow2api_generation_service.draining import DrainingTasks
from flow2api_generation_service.image_jobs.composition import running_image_jobs
from flow2api_generation_service.image_jobs.repository import unfinished_image_jobs
from flow2api_generation_service.image_jobs.servicer import ImageJobRpcs
from flow2api_generation_service.images.books import ImageBooks
from flow2api_generation_service.images.generate import GenerateImages
from flow2api_generation_service.images.idempotency import IdempotencyKeys
from flow2api_generation_service.images.picture import PictureMaker
from flow2api_generation_service.lease_keeper import LeaseKeeper
from flow2api_generation_service.leasing import LeaseClient
from flow2api_generation_service.ledger.reading import Ledger
from flow2api_generation_service.ledger.upkeep import LedgerUpkeep
from flow2api_generation_service.media.conversions import Conversions
from flow2api_generation_service.media.retention import MediaRetention
from flow2api_generation_service.media.service import MediaService
from flow2api_generation_service.media.sweep import MediaSweep
from flow2api_generation_service.models_base import SCHEMA
from flow2api_generation_service.requestlog.listing import RequestLogListing
from flow2api_generation_service.runtime.live_settings import LiveSettings
from flow2api_generation_service.runtime.routes import Routes
from flow2api_generation_service.runtime.servicer import SettingsServicer
from flow2api_generation_service.runtime.store import SettingStore
from flow2api_generation_service.servicer import GenerationServicer
from flow2api_generation_service.settings import GenerationServiceSettings
from flow2api_generation_service.stats import GenerationStats
from flow2api_generation_service.videos.composition import running_videos
from flow2api_generation_service.videos.outbox import OutboxRelay
from flow2api_generation_service.videos.repository import unfinished_videos
from flow2api_generation_service.videos.servicer import VideoRpcs
from flow2api_generation_service.webhooks.composition import Webhooks, running_webhooks
from flow2api_proto.generation.v1 import (
    generation_service_pb2,
    generation_service_pb2_grpc,
    settings_service_pb2,
    settings_service_pb2_grpc,
    webhook_service_pb2,
    webhook_service_pb2_grpc,
)
from flow2api_upstream.registry import ProviderRegistry, build_registry

SERVICE_NAME = generation_service_pb2.DESCRIPTOR.services_by_name["GenerationService"].full_name
WEBHOOK_SERVICE_NAME = webhook_service_pb2.DESCRIPTOR.services_by_name["WebhookService"].full_name

SETTINGS_SERVICE_NAME = settings_service_pb2.DESCRIPTOR.services_by_name["SettingsService"].full_name


@dataclass(frozen=True, slots=True)
class _Running:
    """A generation service at work."""

    address: str
    tasks: BackgroundTasks
    name: str = "generation"

    async def wait(self) -> None:
        """Return never while all is well; raises what made a part fail."""
        await self.tasks.wait()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Parts:
    """What the use cases share."""

    settings: GenerationServiceSettings
    clock: Clock
    catalog: Catalog
    routes: Routes
    settings_servicer: SettingsServicer
    database: Database
    store: MediaStore
    media: MediaService
    leases: LeaseClient
    access: AccessClient
    providers: ProviderRegistry
    nats: NatsConnection
    outbox: OutboxRelay
    keeper: LeaseKeeper
    tasks: BackgroundTasks
    draining: DrainingTasks

    async def check_ready(self) -> None:
        """Raise while something is away that nothing can be accepted or made without."""
        await self.database.ping()
        await self.store.ping()
        await self.nats.ping()


@asynccontextmanager
async def running_generation_service(
    settings: GenerationServiceSettings, *, clock: Clock = utc_now
) -> AsyncIterator[RunningService]:
    """The service, listening. On leaving it takes nothing new, lets what is under way end for a while, and closes.

    The tables must be there (``migrate``). Stores and the token service may be away at the start and later; readiness
    tells.
    """
    async with AsyncExitStack() as stack:
        parts = await _open_parts(settings, clock, stack)
        webhooks = await stack.enter_async_context(
            running_webhooks(settings=settings, database=parts.database, tasks=parts.tasks, clock=clock)
        )
        videos = await stack.enter_async_context(
            running_videos(
                settings=parts.settings,
                database=parts.database,
                nats=parts.nats,
                media=parts.media,
                leases=parts.leases,
                access=parts.access,
                catalog=parts.catalog,
                routes=parts.routes,
                providers=parts.providers,
                receivers=webhooks.job_receivers,
                outbox=parts.outbox,
                tasks=parts.tasks,
                clock=clock,
            )
        )
        # Pictures in flight are waited for after the server has stopped, while all that they need is still there.
        await stack.enter_async_context(parts.draining)
        image_jobs = await stack.enter_async_context(
            running_image_jobs(
                settings=settings,
                database=parts.database,
                nats=parts.nats,
                media=parts.media,
                access=parts.access,
                catalog=parts.catalog,
                # A job that finds no account gives its place to others for a while.
                maker=_maker(parts, settings.model_copy(update={"image_token_wait": settings.video_lease_wait})),
                outbox=parts.outbox,
                background=parts.draining,
                tasks=parts.tasks,
                clock=clock,
            )
        )
        servicer = _servicer(parts, videos, image_jobs, webhooks)
        server = GrpcServer(
            address=settings.generation_addr,
            service_token=settings.service_token,
            service_names=[SERVICE_NAME, WEBHOOK_SERVICE_NAME, SETTINGS_SERVICE_NAME],
            readiness=parts.check_ready,
            tls=settings.server_tls,
        )
        server.register(lambda grpc_server: _add(servicer, webhooks, parts.settings_servicer, grpc_server))
        address = await server.start()
        stack.push_async_callback(server.stop, settings.shutdown_grace)
        yield _Running(address, parts.tasks)


async def _open_parts(settings: GenerationServiceSettings, clock: Clock, stack: AsyncExitStack) -> _Parts:
    database = Database(settings.database_url, schema=SCHEMA)
    stack.push_async_callback(database.aclose)
    store = MediaStore.open(settings.media_url)
    providers = build_registry(settings)
    stack.push_async_callback(providers.aclose)
    channel: grpc.aio.Channel = open_channel(
        settings.token_addr, service_token=settings.service_token, tls=settings.client_tls(settings.token_server_name)
    )
    stack.push_async_callback(channel.close)
    nats = await stack.enter_async_context(nats_connection(settings, "generation"))
    tasks = await stack.enter_async_context(BackgroundTasks())
    draining = DrainingTasks(settings.shutdown_grace / 2)
    leases = LeaseClient(channel)
    keeper = LeaseKeeper(leases=leases, background=draining, duration=settings.image_lease_duration)
    outbox = OutboxRelay(
        database=database,
        publisher=nats,
        clock=clock,
        interval=settings.video_outbox_interval,
        claim=settings.video_outbox_claim,
    )
    tasks.start("outbox", outbox.run())
    tasks.start("renew-leases", keeper.run())
    catalog = load_catalog()
    kept = SettingStore(database=database, clock=clock, interval=settings.settings_interval)
    live = LiveSettings(base=settings, store=kept)
    routes = Routes(
        catalog=catalog,
        store=kept,
        pool=leases,
        clock=clock,
        gone_pause=settings.model_gone_pause,
        interval=settings.settings_interval,
    )
    leases.listen(routes.model_gone)
    with suppress(DependencyUnavailable):
        # A database that is away is waited for; until then everything is as packaged.
        await kept.read()
    tasks.start("settings", kept.run())
    tasks.start("routes", routes.run())
    return _Parts(
        settings=live.view,
        clock=clock,
        catalog=catalog,
        routes=routes,
        settings_servicer=SettingsServicer(settings=live, routes=routes, store=kept),
        database=database,
        store=store,
        media=MediaService(database=database, store=store, settings=live.view, clock=clock),
        leases=leases,
        access=AccessClient(channel),
        providers=providers,
        nats=nats,
        outbox=outbox,
        keeper=keeper,
        tasks=tasks,
        draining=draining,
    )


def _maker(parts: _Parts, settings: GenerationServiceSettings) -> PictureMaker:
    return PictureMaker(
        keeper=parts.keeper, providers=parts.providers, media=parts.media, routes=parts.routes, settings=settings
    )


async def _unfinished_jobs(session: AsyncSession, generation_ids: Collection[str]) -> set[str]:
    return await unfinished_videos(session, generation_ids) | await unfinished_image_jobs(session, generation_ids)


def _servicer(parts: _Parts, videos: VideoRpcs, image_jobs: ImageJobRpcs, webhooks: Webhooks) -> GenerationServicer:
    settings, clock, database = parts.settings, parts.clock, parts.database
    keys = IdempotencyKeys(database=database, clock=clock, retention=settings.idempotency_retention)
    cleanup = Cleanup(
        database=database,
        retention=MediaRetention(database=database, media=parts.media, settings=settings, clock=clock),
        sweep=MediaSweep(database=database, store=parts.store, settings=settings, clock=clock),
        keys=keys,
        image_job_retention=settings.image_job_retention,
        ledger=LedgerUpkeep(database=database, settings=settings, unfinished=_unfinished_jobs, clock=clock),
        webhooks=webhooks.ledger,
        settings=settings,
        clock=clock,
    )
    parts.tasks.start("cleanup", cleanup.run())
    images = GenerateImages(
        catalog=parts.catalog,
        access=parts.access,
        media=parts.media,
        maker=_maker(parts, settings),
        books=ImageBooks(database=database, background=parts.draining, clock=clock),
        keys=keys,
        background=parts.draining,
        clock=clock,
    )
    return GenerationServicer(
        catalog=parts.catalog,
        images=images,
        image_jobs=image_jobs,
        videos=videos,
        media=parts.media,
        conversions=Conversions(database=database, media=parts.media, clock=clock),
        request_logs=RequestLogListing(database=database),
        attempts=AttemptListing(database=database),
        stats=GenerationStats(database=database, videos=videos, clock=clock),
        ledger=Ledger(database=database, clock=clock),
    )


def _add(servicer: GenerationServicer, webhooks: Webhooks, settings: SettingsServicer, server: grpc.aio.Server) -> None:
    settings_service_pb2_grpc.add_SettingsServiceServicer_to_server(settings, server)
    generation_service_pb2_grpc.add_GenerationServiceServicer_to_server(servicer, server)
    webhook_service_pb2_grpc.add_WebhookServiceServicer_to_server(webhooks.servicer, server)
