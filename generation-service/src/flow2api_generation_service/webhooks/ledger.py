"""The ledger of deliveries, for operators: read and replayed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from flow2api_common.clock import Clock
from flow2api_common.database import Database
from flow2api_common.errors import FailedPrecondition, InvalidArgument, NotFound
from flow2api_common.logs import get_logger
from flow2api_generation_service.webhooks.delivery_repository import DeliveryRepository
from flow2api_generation_service.webhooks.endpoint_repository import EndpointRepository
from flow2api_generation_service.webhooks.models import DeliveryState, WebhookAttemptRow, WebhookDeliveryRow
from flow2api_generation_service.webhooks.receivers import receiver_of
from flow2api_generation_service.webhooks.settings import WebhookSettings
from flow2api_proto.generation.v1 import webhook_service_pb2

log = get_logger(__name__)

DEFAULT_PAGE_SIZE: Final = 100
LARGEST_PAGE_SIZE: Final = 1000
PROTO_STATES: Final = {
    DeliveryState.PENDING: webhook_service_pb2.WEBHOOK_DELIVERY_STATE_PENDING,
    DeliveryState.DELIVERED: webhook_service_pb2.WEBHOOK_DELIVERY_STATE_DELIVERED,
    DeliveryState.FAILED: webhook_service_pb2.WEBHOOK_DELIVERY_STATE_FAILED,
}


class WebhookLedger:
    """Answers about deliveries."""

    def __init__(self, *, database: Database, settings: WebhookSettings, clock: Clock) -> None:
        self._database = database
        self._settings = settings
        self._clock = clock

    async def page(
        self, request: webhook_service_pb2.ListWebhookDeliveriesRequest
    ) -> tuple[Sequence[WebhookDeliveryRow], str]:
        """A page, and the token of the next. Raises InvalidArgument for ``page_size``."""
        if not 0 <= request.page_size <= LARGEST_PAGE_SIZE:
            raise InvalidArgument.of("page_size", f"A page has 1 to {LARGEST_PAGE_SIZE} deliveries.")
        size = request.page_size or DEFAULT_PAGE_SIZE
        async with self._database.transaction(read_only=True) as session:
            rows = await DeliveryRepository(session).page(
                limit=size + 1,
                after_id=request.page_token,
                api_key_id=request.api_key_id,
                state=next((ours for ours, theirs in PROTO_STATES.items() if theirs == request.state), None),
                video_id=request.video_id,
                endpoint_id=request.webhook_endpoint_id,
            )
        return rows[:size], rows[size - 1].delivery_id if len(rows) > size else ""

    async def get(self, delivery_id: str) -> tuple[WebhookDeliveryRow, Sequence[WebhookAttemptRow]]:
        """One with its attempts. Raises NotFound WEBHOOK_DELIVERY_NOT_FOUND."""
        async with self._database.transaction(read_only=True) as session:
            repository = DeliveryRepository(session)
            row = _there(await repository.get(delivery_id))
            return row, await repository.attempts(delivery_id)

    async def replay(self, delivery_id: str) -> WebhookDeliveryRow:
        """Have it sent again now, to where its receiver is now, under the same webhook id.

        An attempt that is under way may end afterwards; it counts then. Raises NotFound, FailedPrecondition
        WEBHOOK_ENDPOINT_GONE.
        """
        now = self._clock()
        async with self._database.transaction() as session:
            repository = DeliveryRepository(session)
            row = _there(await repository.get(delivery_id))
            url = row.url
            if row.endpoint_id is not None:
                endpoint = await EndpointRepository(session).get(row.endpoint_id)
                if endpoint is None or endpoint.disabled_reason is not None:
                    raise FailedPrecondition(
                        "The endpoint of this delivery was removed or is disabled.", reason="WEBHOOK_ENDPOINT_GONE"
                    )
                url = endpoint.url
            await repository.replay(
                delivery_id,
                now=now,
                give_up_time=now + self._settings.webhook_retry_window,
                url=url,
                receiver=receiver_of(url),
            )
            row = _there(await repository.get(delivery_id))
        log.info("webhook_replayed", delivery_id=delivery_id, video_id=row.video_id)
        return row

    async def delete_expired(self) -> None:
        """Remove finished deliveries that have been kept long enough."""
        deleted = 1
        while deleted:
            async with self._database.transaction() as session:
                deleted = await DeliveryRepository(session).delete_finished_before(
                    self._clock() - self._settings.webhook_retention
                )


def _there(row: WebhookDeliveryRow | None) -> WebhookDeliveryRow:
    if row is None:
        raise NotFound("The webhook delivery does not exist.", reason="WEBHOOK_DELIVERY_NOT_FOUND")
    return row
