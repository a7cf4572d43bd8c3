"""Builds the poller and runs it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from flow2api_common.clock import Clock, utc_now
from flow2api_common.grpc_client import open_channel
from flow2api_common.lifecycle import BackgroundTasks, RunningService
from flow2api_common.media_store import MediaStore
from flow2api_common.nats_client import nats_connection
from flow2api_poller_service.clip_store import ClipStore
from flow2api_poller_service.follow import Following
from flow2api_poller_service.group_look import GroupLooks
from flow2api_poller_service.pool import TokenPool
from flow2api_poller_service.renewals import LeaseRenewals
from flow2api_poller_service.reports import Reports
from flow2api_poller_service.schedule import Schedule
from flow2api_poller_service.settings import PollerServiceSettings
from flow2api_poller_service.stills.studio import StillStudio
from flow2api_poller_service.worker import PollWorker
from flow2api_upstream.registry import build_registry


@dataclass(frozen=True, slots=True)
class RunningPoller:
    """A poller at work."""

    tasks: BackgroundTasks
    name: str = "poller"
    address: str = ""

    async def wait(self) -> None:
        """Return never while all is well; raise what made the poller fail."""
        await self.tasks.wait()


@asynccontextmanager
async def running_poller_service(
    settings: PollerServiceSettings, *, clock: Clock = utc_now
) -> AsyncIterator[RunningService]:
    """A poller that works until the block is left; what it has in hand is then given back to JetStream."""
    async with AsyncExitStack() as stack:
        providers = build_registry(settings)
        stack.push_async_callback(providers.aclose)
        channel = await stack.enter_async_context(
            open_channel(
                settings.token_addr,
                service_token=settings.service_token,
                tls=settings.client_tls(settings.token_server_name),
            )
        )
        nats = await stack.enter_async_context(nats_connection(settings, "poller"))
        store = MediaStore.open(settings.media_url)
        studio = StillStudio(
            store=store, processes=settings.poller_still_processes, time_limit=settings.poller_still_time_limit
        )
        stack.push_async_callback(studio.aclose)
        pool = TokenPool(channel, credential_ttl=settings.poller_credential_ttl)
        schedule = Schedule.of(settings)
        following = Following(
            looks=GroupLooks(pool=pool, clock=clock, schedule=schedule),
            clips=ClipStore(store=store, pool=pool, studio=studio, max_bytes=settings.video_max_bytes),
            pool=pool,
            renewals=LeaseRenewals(pool=pool, clock=clock, batch=settings.poller_batch),
            reports=Reports(nats=nats, clock=clock),
            clock=clock,
            settings=settings,
        )
        worker = PollWorker(
            nats=nats,
            providers=providers,
            following=following,
            clock=clock,
            settings=settings,
            schedule=schedule,
        )
        tasks = await stack.enter_async_context(BackgroundTasks())
        tasks.start("poller", worker.run())
        yield RunningPoller(tasks)
