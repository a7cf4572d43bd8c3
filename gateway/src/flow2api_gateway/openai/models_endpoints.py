"""``/v1/models``: the catalog. Source: docs/upstream/openai.md, section 5."""

from __future__ import annotations

from typing import Any, Final

from fastapi import APIRouter
from starlette.responses import Response

from flow2api_common.errors import NotFound
from flow2api_gateway.auth.dependencies import ApiKeyDep
from flow2api_gateway.auth.models import may_use
from flow2api_gateway.edge.responses import json_response
from flow2api_gateway.gateway import GatewayDep
from flow2api_gateway.openai import examples
from flow2api_gateway.openai.documents import answers
from flow2api_proto.generation.v1 import model_pb2

router: Final = APIRouter(tags=["models"])

_KINDS: Final = {model_pb2.MODALITY_IMAGE: "image", model_pb2.MODALITY_VIDEO: "video"}


@router.get("/v1/models", summary="List models", responses=answers(examples.MODEL_LIST))
async def list_models(api_key: ApiKeyDep, gateway: GatewayDep) -> Response:
    """Every public id that the key may use, aliases included."""
    models = await gateway.catalog.list_all()
    usable = [model_object(model) for model in models if may_use(api_key, model)]
    return json_response({"object": "list", "data": usable})


@router.get(
    "/v1/models/{model_id:path}",
    summary="Read a model",
    responses=answers(examples.MODEL, required=("id", "object", "created", "owned_by")),
)
async def get_model(model_id: str, api_key: ApiKeyDep, gateway: GatewayDep) -> Response:
    """One model by its id, which may have slashes. One that the key may not use does not exist, as OpenAI has it."""
    model = await gateway.catalog.get(model_id)
    if not may_use(api_key, model):
        raise NotFound(f"The model {model_id[:100]!r} does not exist.", reason="MODEL_NOT_FOUND")
    return json_response(model_object(model))


def model_object(model: model_pb2.Model) -> dict[str, Any]:
    """OpenAI's four members, and what there is to choose."""
    return {
        "id": model.model_id,
        "object": "model",
        "created": model.create_time.ToSeconds(),
        "owned_by": "flow2api",
        "display_name": model.display_name or model.model_id,
        "description": model.description,
        "kind": _KINDS.get(model.modality, "unknown"),
        "alias_of": model.alias_of or None,
        "shutdown_date": model.shutdown_date or None,
        "aspect_ratios": list(model.aspect_ratios),
        "durations_seconds": list(model.durations_seconds),
        "resolutions": list(model.resolutions),
        "min_input_images": model.min_input_images,
        "max_input_images": model.max_input_images,
    }
