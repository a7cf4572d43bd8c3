"""The loop: takes messages from JetStream, has their operations followed, and never keeps one longer than its round.

JetStream is the timer: what is not due, or not ready, goes back with a delay, so that nothing is kept between two looks
and any number of pollers share the work. A message is settled only after everything that it led to has been published.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from typing import Final

from flow2api_common.clock import Clock
from flow2api_common.errors import DependencyUnavailable, NotFound
from flow2api_common.logs import get_logger
from flow2api_common.nats_client import Delivery, NatsConnection, PullConsumer
from flow2api_common.nats_streams import VIDEO_JOBS
from flow2api_common.request_context import incoming_request
from flow2api_poller_service.follow import Following
from flow2api_poller_service.intake import TokenKey, by_token, take_due
from flow2api_poller_service.look import Look
from flow2api_poller_service.schedule import Schedule
from flow2api_poller_service.settings import FollowSettings
from flow2api_poller_service.verdicts import Ready
from flow2api_upstream.port import Provider
from flow2api_upstream.registry import ProviderRegistry

log = get_logger(__name__)

POLL_SUBJECTS: Final = "video.poll.>"
POLL_DURABLE: Final = "video-poll"

_FETCH_TIMEOUT: Final = timedelta(seconds=1)
_HEARTBEATS_PER_ACK_WAIT: Final = 3
_UNKNOWN_PROVIDER_DELAY: Final = timedelta(seconds=30)
_RETRY_DELAY: Final = timedelta(seconds=5)


class PollWorker:
    """Works on ``video.poll.>``; any number of replicas share the durable consumer."""

    def __init__(
        self,
        *,
        nats: NatsConnection,
        providers: ProviderRegistry,
        following: Following,
        clock: Clock,
        settings: FollowSettings,
        schedule: Schedule,
    ) -> None:
        self._consumer = PullConsumer(
            connection=nats,
            stream=VIDEO_JOBS,
            durable=POLL_DURABLE,
            filter_subjects=[POLL_SUBJECTS],
            ack_wait=settings.poller_ack_wait,
            linger=settings.poller_linger,
        )
        self._providers = providers
        self._following = following
        self._clock = clock
        self._settings = settings
        self._schedule = schedule
        self._checks = asyncio.Semaphore(settings.poller_check_concurrency)
        self._stores = asyncio.Semaphore(settings.poller_store_concurrency)
        self._in_hand: set[Delivery] = set()
        self._waiting: dict[TokenKey, list[Look]] = {}
        self._has_room = asyncio.Event()

    async def run(self) -> None:
        """Work until cancelled; what is in hand is then given back at once, for other pollers."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._keep_in_hand(), name="poll-heartbeat")
                while True:
                    await self._take_some(group)
        finally:
            # Those, too, that no task has begun with.
            await _give_back(list(self._in_hand), timedelta(0))
            await self._consumer.aclose()

    async def _take_some(self, group: asyncio.TaskGroup) -> None:
        room = self._settings.poller_max_in_flight - len(self._in_hand)
        if room <= 0:
            self._has_room.clear()
            await self._has_room.wait()
            return
        deliveries = await self._consumer.fetch(min(room, self._settings.poller_batch), _FETCH_TIMEOUT)
        due: list[Look] = []
        async with self._holding(deliveries):
            due = await take_due(deliveries, clock=self._clock, schedule=self._schedule)
        for key, looks in by_token(due).items():
            self._in_hand.update(look.delivery for look in looks)
            waiting = self._waiting.get(key)
            if waiting is None:
                self._waiting[key] = looks
                group.create_task(self._check_token(group, key), name="poll-check")
            else:
                waiting += looks

    async def _check_token(self, group: asyncio.TaskGroup, key: TokenKey) -> None:
        """One call after the other while operations of this token wait: the busier we are, the more share a call."""
        waiting = self._waiting[key]
        while waiting:
            async with self._checks:
                provider = self._provider(key[0])
                most = provider.capabilities.max_operations_per_check if provider else len(waiting)
                some = waiting[:most]
                del waiting[:most]
                if provider is not None:
                    await self._check(group, provider, some)
                else:
                    await self._leave_to_others(key[0], some)
        del self._waiting[key]

    def _provider(self, name: str) -> Provider | None:
        with suppress(NotFound):
            return self._providers.get(name)
        return None

    async def _leave_to_others(self, provider_name: str, looks: Sequence[Look]) -> None:
        # A newer poller may know it.
        log.error("provider_unknown", provider=provider_name)
        async with self._holding([look.delivery for look in looks]):
            for look in looks:
                await self._following.wait_for_provider(look, _UNKNOWN_PROVIDER_DELAY)

    async def _check(self, group: asyncio.TaskGroup, provider: Provider, looks: Sequence[Look]) -> None:
        found: list[tuple[Look, Ready]] = []
        async with self._holding([look.delivery for look in looks]):
            found = await self._following.look(provider, looks)
        for look, ready in found:
            self._in_hand.add(look.delivery)
            group.create_task(self._store(provider, look, ready), name="poll-store")

    async def _store(self, provider: Provider, look: Look, ready: Ready) -> None:
        with incoming_request(look.delivery.headers):
            async with self._holding([look.delivery]), self._stores:
                await self._following.store(provider, look, ready)

    @asynccontextmanager
    async def _holding(self, deliveries: Sequence[Delivery]) -> AsyncIterator[None]:
        """Keeps JetStream from giving these to others; what is unsettled when the block fails is given back."""
        self._in_hand.update(deliveries)
        try:
            yield
        except asyncio.CancelledError:
            await _give_back(deliveries, timedelta(0))
            raise
        except DependencyUnavailable as error:
            log.warning("poll_waits", delivery_count=len(deliveries), reason=error.reason, message=error.message)
            await _give_back(deliveries, _RETRY_DELAY)
        except Exception:
            log.exception("poll_failed", delivery_count=len(deliveries))
            await _give_back(deliveries, _RETRY_DELAY)
        finally:
            self._in_hand.difference_update(deliveries)
            self._has_room.set()

    async def _keep_in_hand(self) -> None:
        while True:
            await asyncio.sleep(self._settings.poller_ack_wait.total_seconds() / _HEARTBEATS_PER_ACK_WAIT)
            for delivery in list(self._in_hand):
                if not delivery.is_settled:
                    with suppress(DependencyUnavailable):
                        await delivery.in_progress()


async def _give_back(deliveries: Sequence[Delivery], delay: timedelta) -> None:
    for delivery in deliveries:
        if not delivery.is_settled:
            # With NATS away they come again by themselves after the ack wait.
            with suppress(DependencyUnavailable):
                await delivery.nak(delay)
