"""The catalog, as the gateway needs it: one model by its public id, remembered for a moment."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Final

from flow2api_common.grpc_client import rpc_errors
from flow2api_proto.generation.v1 import generation_service_pb2, generation_service_pb2_grpc, model_pb2

# What the gateway reads of a model (what it makes, what it takes) changes only with a release of the catalog.
_REMEMBER_SECONDS: Final = 10.0


class Catalog:
    """Reads models from the generation-service. Unknown ids are not remembered, so memory stays that of the catalog."""

    def __init__(
        self,
        generation: generation_service_pb2_grpc.GenerationServiceAsyncStub,
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._generation = generation
        self._monotonic = monotonic
        self._remembered: dict[str, tuple[float, model_pb2.Model]] = {}

    async def get(self, model_id: str) -> model_pb2.Model:
        """The model. Raises NotFound MODEL_NOT_FOUND."""
        remembered = self._remembered.get(model_id)
        if remembered is not None and remembered[0] > self._monotonic():
            return remembered[1]
        with rpc_errors("generation"):
            answer = await self._generation.GetModel(generation_service_pb2.GetModelRequest(model_id=model_id))
        self._remembered[model_id] = (self._monotonic() + _REMEMBER_SECONDS, answer.model)
        return answer.model

    async def list_all(self) -> Sequence[model_pb2.Model]:
        """The whole catalog, aliases included."""
        with rpc_errors("generation"):
            answer = await self._generation.ListModels(generation_service_pb2.ListModelsRequest())
        return answer.models
