"""The gRPC edge of webhooks: each RPC handed to its use case."""

from __future__ import annotations

from typing import Any, TypeAlias

import grpc

from flow2api_generation_service.webhooks.deliver import DeliveryWorker
from flow2api_generation_service.webhooks.endpoints import WebhookEndpoints
from flow2api_generation_service.webhooks.ledger import WebhookLedger
from flow2api_generation_service.webhooks.rows_to_grpc import attempt_to_grpc, delivery_to_grpc, endpoint_to_grpc
from flow2api_proto.generation.v1 import webhook_service_pb2, webhook_service_pb2_grpc

_Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"


class WebhookServicer(webhook_service_pb2_grpc.WebhookServiceServicer):
    """Implements flow2api.generation.v1.WebhookService."""

    def __init__(self, *, endpoints: WebhookEndpoints, ledger: WebhookLedger, worker: DeliveryWorker) -> None:
        self._endpoints = endpoints
        self._ledger = ledger
        self._worker = worker

    async def CreateWebhookEndpoint(  # noqa: N802 - the name of the RPC
        self, request: webhook_service_pb2.CreateWebhookEndpointRequest, context: _Context
    ) -> webhook_service_pb2.CreateWebhookEndpointResponse:
        """Register a receiver."""
        del context
        row, secret = await self._endpoints.create(request)
        return webhook_service_pb2.CreateWebhookEndpointResponse(
            webhook_endpoint=endpoint_to_grpc(row), signing_secret=secret
        )

    async def GetWebhookEndpoint(  # noqa: N802
        self, request: webhook_service_pb2.GetWebhookEndpointRequest, context: _Context
    ) -> webhook_service_pb2.GetWebhookEndpointResponse:
        """Read one."""
        del context
        row = await self._endpoints.get(request.webhook_endpoint_id, api_key_id=request.api_key_id)
        return webhook_service_pb2.GetWebhookEndpointResponse(webhook_endpoint=endpoint_to_grpc(row))

    async def ListWebhookEndpoints(  # noqa: N802
        self, request: webhook_service_pb2.ListWebhookEndpointsRequest, context: _Context
    ) -> webhook_service_pb2.ListWebhookEndpointsResponse:
        """List them."""
        del context
        rows, next_page_token = await self._endpoints.page(request)
        return webhook_service_pb2.ListWebhookEndpointsResponse(
            webhook_endpoints=[endpoint_to_grpc(row) for row in rows], next_page_token=next_page_token
        )

    async def UpdateWebhookEndpoint(  # noqa: N802
        self, request: webhook_service_pb2.UpdateWebhookEndpointRequest, context: _Context
    ) -> webhook_service_pb2.UpdateWebhookEndpointResponse:
        """Change one."""
        del context
        row = await self._endpoints.update(request)
        return webhook_service_pb2.UpdateWebhookEndpointResponse(webhook_endpoint=endpoint_to_grpc(row))

    async def DeleteWebhookEndpoint(  # noqa: N802
        self, request: webhook_service_pb2.DeleteWebhookEndpointRequest, context: _Context
    ) -> webhook_service_pb2.DeleteWebhookEndpointResponse:
        """Remove one."""
        del context
        await self._endpoints.delete(request.webhook_endpoint_id, api_key_id=request.api_key_id)
        return webhook_service_pb2.DeleteWebhookEndpointResponse()

    async def RotateWebhookSecret(  # noqa: N802
        self, request: webhook_service_pb2.RotateWebhookSecretRequest, context: _Context
    ) -> webhook_service_pb2.RotateWebhookSecretResponse:
        """Exchange its secret."""
        del context
        row, secret = await self._endpoints.rotate_secret(
            request.webhook_endpoint_id,
            api_key_id=request.api_key_id,
            keep_old=request.keep_old_duration.ToTimedelta(),
        )
        return webhook_service_pb2.RotateWebhookSecretResponse(
            webhook_endpoint=endpoint_to_grpc(row), signing_secret=secret
        )

    async def TestWebhookEndpoint(  # noqa: N802
        self, request: webhook_service_pb2.TestWebhookEndpointRequest, context: _Context
    ) -> webhook_service_pb2.TestWebhookEndpointResponse:
        """Send it a sample."""
        del context
        status_code = await self._endpoints.test(
            request.webhook_endpoint_id, api_key_id=request.api_key_id, event_type=request.event_type
        )
        return webhook_service_pb2.TestWebhookEndpointResponse(status_code=status_code)

    async def ListWebhookDeliveries(  # noqa: N802
        self, request: webhook_service_pb2.ListWebhookDeliveriesRequest, context: _Context
    ) -> webhook_service_pb2.ListWebhookDeliveriesResponse:
        """The ledger."""
        del context
        rows, next_page_token = await self._ledger.page(request)
        return webhook_service_pb2.ListWebhookDeliveriesResponse(
            webhook_deliveries=[delivery_to_grpc(row) for row in rows], next_page_token=next_page_token
        )

    async def GetWebhookDelivery(  # noqa: N802
        self, request: webhook_service_pb2.GetWebhookDeliveryRequest, context: _Context
    ) -> webhook_service_pb2.GetWebhookDeliveryResponse:
        """One delivery."""
        del context
        row, attempts = await self._ledger.get(request.webhook_delivery_id)
        return webhook_service_pb2.GetWebhookDeliveryResponse(
            webhook_delivery=delivery_to_grpc(row),
            attempts=[attempt_to_grpc(attempt) for attempt in attempts],
            payload=row.payload,
        )

    async def ReplayWebhookDelivery(  # noqa: N802
        self, request: webhook_service_pb2.ReplayWebhookDeliveryRequest, context: _Context
    ) -> webhook_service_pb2.ReplayWebhookDeliveryResponse:
        """Send it again."""
        del context
        row = await self._ledger.replay(request.webhook_delivery_id)
        self._worker.wake()
        return webhook_service_pb2.ReplayWebhookDeliveryResponse(webhook_delivery=delivery_to_grpc(row))
