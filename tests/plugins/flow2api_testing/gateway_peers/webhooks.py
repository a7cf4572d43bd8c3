"""Webhook receivers and deliveries that gateway tests are answered with."""

# ruff: noqa: N802 - the servicers have the names of the RPCs.

from __future__ import annotations

from datetime import timedelta
from typing import Any

from flow2api_common.errors import (
    FailedPrecondition,
    InvalidArgument,
    NotFound,
)
from flow2api_proto.generation.v1 import (
    webhook_service_pb2,
    webhook_service_pb2_grpc,
)


class FakeWebhooks(webhook_service_pb2_grpc.WebhookServiceServicer):
    """Receivers in a dict, and one delivery that has failed."""

    def __init__(self) -> None:
        self.endpoints: dict[str, webhook_service_pb2.WebhookEndpoint] = {}
        self.kept_old: list[timedelta] = []
        self.listings: list[webhook_service_pb2.ListWebhookDeliveriesRequest] = []
        self.delivery = webhook_service_pb2.WebhookDelivery(
            webhook_delivery_id="whd_1",
            event_id="evt_1",
            event_type="video.failed",
            video_id="video_1",
            api_key_id="key_1",
            url="https://hooks.example/x",
            state=webhook_service_pb2.WEBHOOK_DELIVERY_STATE_FAILED,
            attempt_count=13,
            last_status_code=500,
            last_error="status",
        )
        self.delivery.last_duration.FromTimedelta(timedelta(milliseconds=120))

    def _endpoint(self, request: Any) -> webhook_service_pb2.WebhookEndpoint:
        endpoint = self.endpoints.get(request.webhook_endpoint_id)
        if endpoint is None or request.api_key_id not in ("", endpoint.api_key_id):
            raise NotFound("There is no such endpoint.", reason="WEBHOOK_ENDPOINT_NOT_FOUND")
        return endpoint

    async def CreateWebhookEndpoint(self, request: Any, context: Any) -> Any:
        if not request.url.startswith("https://"):
            raise InvalidArgument.of("url", "Only https URLs are allowed.")
        endpoint = webhook_service_pb2.WebhookEndpoint(
            webhook_endpoint_id=f"we_{len(self.endpoints) + 1}",
            api_key_id=request.api_key_id,
            name=request.name,
            url=request.url,
            event_types=request.event_types,
            signing_secret_hint="…abcd",
            enabled=True,
        )
        endpoint.create_time.FromSeconds(1_767_225_600)
        endpoint.update_time.FromSeconds(1_767_225_600)
        self.endpoints[endpoint.webhook_endpoint_id] = endpoint
        return webhook_service_pb2.CreateWebhookEndpointResponse(
            webhook_endpoint=endpoint, signing_secret="whsec_first"
        )

    async def GetWebhookEndpoint(self, request: Any, context: Any) -> Any:
        return webhook_service_pb2.GetWebhookEndpointResponse(webhook_endpoint=self._endpoint(request))

    async def ListWebhookEndpoints(self, request: Any, context: Any) -> Any:
        before = request.page_token or "we_~"
        newest = [each for each in reversed(self.endpoints.values()) if each.webhook_endpoint_id < before]
        size = request.page_size or 20
        return webhook_service_pb2.ListWebhookEndpointsResponse(
            webhook_endpoints=newest[:size],
            next_page_token=newest[size - 1].webhook_endpoint_id if len(newest) > size else "",
        )

    async def UpdateWebhookEndpoint(self, request: Any, context: Any) -> Any:
        endpoint = self.endpoints[request.webhook_endpoint.webhook_endpoint_id]
        if "event_types" in request.update_mask.paths:
            del endpoint.event_types[:]
        request.update_mask.MergeMessage(request.webhook_endpoint, endpoint)
        return webhook_service_pb2.UpdateWebhookEndpointResponse(webhook_endpoint=endpoint)

    async def DeleteWebhookEndpoint(self, request: Any, context: Any) -> Any:
        del self.endpoints[self._endpoint(request).webhook_endpoint_id]
        return webhook_service_pb2.DeleteWebhookEndpointResponse()

    async def RotateWebhookSecret(self, request: Any, context: Any) -> Any:
        self.kept_old.append(request.keep_old_duration.ToTimedelta())
        return webhook_service_pb2.RotateWebhookSecretResponse(
            webhook_endpoint=self._endpoint(request), signing_secret="whsec_second"
        )

    async def TestWebhookEndpoint(self, request: Any, context: Any) -> Any:
        self._endpoint(request)
        if request.event_type == "video.failed":
            raise FailedPrecondition("No answer.", reason="WEBHOOK_NOT_REACHED")
        return webhook_service_pb2.TestWebhookEndpointResponse(status_code=202)

    async def ListWebhookDeliveries(self, request: Any, context: Any) -> Any:
        self.listings.append(request)
        return webhook_service_pb2.ListWebhookDeliveriesResponse(
            webhook_deliveries=[self.delivery], next_page_token="older"
        )

    async def GetWebhookDelivery(self, request: Any, context: Any) -> Any:
        if request.webhook_delivery_id != "whd_1":
            raise NotFound("There is no such delivery.", reason="WEBHOOK_DELIVERY_NOT_FOUND")
        attempt = webhook_service_pb2.WebhookAttempt(number=1, error="timeout")
        attempt.duration.FromTimedelta(timedelta(seconds=10))
        return webhook_service_pb2.GetWebhookDeliveryResponse(
            webhook_delivery=self.delivery, attempts=[attempt], payload="{}"
        )

    async def ReplayWebhookDelivery(self, request: Any, context: Any) -> Any:
        self.delivery.state = webhook_service_pb2.WEBHOOK_DELIVERY_STATE_PENDING
        return webhook_service_pb2.ReplayWebhookDeliveryResponse(webhook_delivery=self.delivery)
