"""Asking the token service whether a generation may begin in the name of an API key."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

import grpc

from flow2api_common.grpc_client import rpc_errors
from flow2api_generation_service.catalog.model import PublicModel
from flow2api_generation_service.ledger.amounts import Budget
from flow2api_proto.access.v1 import access_service_pb2, access_service_pb2_grpc

_CALL_TIMEOUT: Final = timedelta(seconds=15)


class AccessClient:
    """The part of the access service that a generation needs. Raises the Flow2APIError that the service said."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub = access_service_pb2_grpc.AccessServiceStub(channel)

    async def authorize(
        self, *, api_key_id: str, model: PublicModel, generation_id: str
    ) -> access_service_pb2.AuthorizeGenerationResponse:
        """Let a generation begin: the key with its limits, and what it has left of its minute.

        Called once for each that is accepted, before anything waits; a repeat that only joins or reads is not counted.
        Fails closed. Raises Unauthenticated API_KEY_INVALID, PermissionDenied MODEL_NOT_ALLOWED, CapacityError
        REQUESTS_PER_MINUTE, DependencyUnavailable.
        """
        request = access_service_pb2.AuthorizeGenerationRequest(
            api_key_id=api_key_id,
            model_id=model.model_id,
            served_model_id=model.served_id,
            generation_id=generation_id,
        )
        with rpc_errors("token"):
            return await self._stub.AuthorizeGeneration(request, timeout=_CALL_TIMEOUT.total_seconds())


def daily_budget(api_key: access_service_pb2.ApiKey) -> Budget:
    """What the key may spend per UTC day."""
    # A token service of the release before says nothing about money.
    has_money = api_key.HasField("daily_budget_micro_usd") and api_key.daily_budget_micro_usd >= 0
    return Budget(
        credits=api_key.daily_credit_budget if api_key.daily_credit_budget >= 0 else None,
        micros=api_key.daily_budget_micro_usd if has_money else None,
    )
