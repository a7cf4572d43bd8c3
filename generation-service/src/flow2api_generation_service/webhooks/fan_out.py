"""From an event to its deliveries: who wants to know is decided here."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

from flow2api_common.clock import Clock
from flow2api_common.database import Database
from flow2api_common.ids import new_id
from flow2api_generation_service.webhooks.delivery_repository import DeliveryRepository
from flow2api_generation_service.webhooks.endpoint_repository import EndpointRepository
from flow2api_generation_service.webhooks.models import (
    DeliveryState,
    ReceiverKind,
    WebhookDeliveryRow,
    WebhookEndpointRow,
    WebhookEventRow,
)
from flow2api_generation_service.webhooks.receivers import receiver_of
from flow2api_generation_service.webhooks.settings import WebhookSettings


class FanOut:
    """Any number of replicas share the events."""

    def __init__(self, *, database: Database, settings: WebhookSettings, clock: Clock) -> None:
        self._database = database
        self._settings = settings
        self._clock = clock

    async def once(self) -> int:
        """Turn some events into deliveries, in one transaction; answers how many events."""
        async with self._database.transaction() as session:
            repository = DeliveryRepository(session)
            events = await repository.take_events()
            if not events:
                return 0
            endpoints: dict[str, list[WebhookEndpointRow]] = defaultdict(list)
            for endpoint in await EndpointRepository(session).of_keys([event.api_key_id for event in events]):
                endpoints[endpoint.api_key_id].append(endpoint)
            await repository.add(
                [row for event in events for row in self._deliveries(event, endpoints[event.api_key_id])]
            )
            await repository.delete_events([event.event_id for event in events])
            return len(events)

    def _deliveries(
        self, event: WebhookEventRow, endpoints: Sequence[WebhookEndpointRow]
    ) -> Iterator[WebhookDeliveryRow]:
        """The URL of the job, else the endpoints of its key, else the default receiver."""
        if event.webhook_url:
            yield self._delivery(event, ReceiverKind.JOB, event.webhook_url, sealed_secret=event.sealed_webhook_secret)
        elif endpoints:
            for endpoint in endpoints:
                if endpoint.disabled_reason is None and event.event_type in endpoint.event_types:
                    yield self._delivery(event, ReceiverKind.ENDPOINT, endpoint.url, endpoint_id=endpoint.endpoint_id)
        elif self._settings.webhook_url:
            yield self._delivery(event, ReceiverKind.DEFAULT, self._settings.webhook_url)

    def _delivery(
        self,
        event: WebhookEventRow,
        kind: ReceiverKind,
        url: str,
        *,
        endpoint_id: str | None = None,
        sealed_secret: str | None = None,
    ) -> WebhookDeliveryRow:
        now = self._clock()
        return WebhookDeliveryRow(
            delivery_id=new_id("whd"),
            event_id=event.event_id,
            event_type=event.event_type,
            video_id=event.video_id,
            api_key_id=event.api_key_id,
            payload=event.payload,
            kind=kind,
            endpoint_id=endpoint_id,
            url=url,
            receiver=receiver_of(url),
            sealed_secret=sealed_secret,
            state=DeliveryState.PENDING,
            next_attempt_time=now,
            give_up_time=now + self._settings.webhook_retry_window,
            create_time=event.create_time,
        )
