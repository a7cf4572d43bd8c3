"""Which models an API key may use: told early, and followed by the lists. The token service has the last word."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flow2api_common.errors import PermissionDenied
from flow2api_common.name_patterns import matches_any
from flow2api_proto.access.v1 import access_service_pb2
from flow2api_proto.generation.v1 import model_pb2

if TYPE_CHECKING:
    from flow2api_gateway.generation.catalog import Catalog


def may_use(api_key: access_service_pb2.ApiKey, model: model_pb2.Model) -> bool:
    """Whether the key may use the model, by its id or by the one that it stands for."""
    allowed = api_key.allowed_models
    return not allowed or matches_any(model.model_id, allowed) or matches_any(model.alias_of, allowed)


async def usable_model(catalog: Catalog, api_key: access_service_pb2.ApiKey, model_id: str) -> model_pb2.Model:
    """The model of a request. Raises NotFound MODEL_NOT_FOUND, PermissionDenied MODEL_NOT_ALLOWED."""
    model = await catalog.get(model_id)
    if not may_use(api_key, model):
        raise PermissionDenied(f"This API key may not use the model {model_id[:100]!r}.", reason="MODEL_NOT_ALLOWED")
    return model
