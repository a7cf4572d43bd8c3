"""``/v1beta/models``: the catalog as Google lists it. Source: docs/upstream/google-official.md, section 4."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query
from starlette.responses import Response

from flow2api_common.errors import InvalidArgument, NotFound
from flow2api_gateway.auth.models import may_use
from flow2api_gateway.edge.responses import json_response
from flow2api_gateway.gateway import Gateway, GatewayDep
from flow2api_gateway.gemini.dialect import EXPRESS_MODELS, VERTEX_MODELS
from flow2api_gateway.gemini.documents import GOOGLE_ERRORS
from flow2api_gateway.gemini.keys import GoogleKeyDep
from flow2api_gateway.gemini.paging import page_of
from flow2api_proto.access.v1 import access_service_pb2
from flow2api_proto.generation.v1 import model_pb2

router: Final = APIRouter(tags=["gemini"])

METHODS: Final = {
    model_pb2.MODALITY_IMAGE: ["generateContent", "createInteraction"],
    model_pb2.MODALITY_VIDEO: ["predictLongRunning", "createInteraction"],
}
_INPUT_TOKENS: Final = 32_768
_OUTPUT_TOKENS: Final = 32_768
_LARGEST_PAGE: Final = 1000


@router.get("/v1beta/models", summary="List models (Gemini)", responses=GOOGLE_ERRORS)
async def list_models(
    api_key: GoogleKeyDep,
    gateway: GatewayDep,
    page_size: Annotated[str, Query(alias="pageSize")] = "",
    page_token: Annotated[str, Query(alias="pageToken")] = "",
) -> Response:
    """The models that the key may use, aliases included, a page at a time."""
    page, following = await _page(gateway, api_key, page_size, page_token)
    return json_response({"models": [google_model(model) for model in page], **following})


@router.get(EXPRESS_MODELS, summary="List models (Vertex)", responses=GOOGLE_ERRORS)
async def list_publisher_models(
    api_key: GoogleKeyDep,
    gateway: GatewayDep,
    page_size: Annotated[str, Query(alias="pageSize")] = "",
    page_token: Annotated[str, Query(alias="pageToken")] = "",
) -> Response:
    """The same models in Vertex's words; their path has no project."""
    page, following = await _page(gateway, api_key, page_size, page_token)
    return json_response({"publisherModels": [publisher_model(model) for model in page], **following})


@router.get("/v1beta/models/{model_id:path}", summary="Read a model (Gemini)", responses=GOOGLE_ERRORS)
async def get_model(model_id: str, api_key: GoogleKeyDep, gateway: GatewayDep) -> Response:
    """One model by its id. One that the key may not use does not exist."""
    return json_response(google_model(await _model(gateway, api_key, model_id)))


@router.get(f"{EXPRESS_MODELS}/{{model_id:path}}", summary="Read a model (Vertex)", responses=GOOGLE_ERRORS)
async def get_publisher_model(model_id: str, api_key: GoogleKeyDep, gateway: GatewayDep) -> Response:
    """The same in Vertex's words."""
    return json_response(publisher_model(await _model(gateway, api_key, model_id)))


@router.post(f"{EXPRESS_MODELS}/{{rest:path}}", include_in_schema=False)
@router.post(f"{VERTEX_MODELS}/{{rest:path}}", include_in_schema=False)
@router.post("/v1beta/models/{rest:path}", include_in_schema=False)
async def refuse_method(rest: str, api_key: GoogleKeyDep) -> Response:
    """Every method of Google's that is not ours, such as ``embedContent``."""
    del api_key
    model_id, _, method = rest.rpartition(":")
    raise NotFound(
        f"models/{(model_id or rest)[:100]} is not found, or is not supported for {method[:50] or 'this call'}.",
        reason="ROUTE_NOT_FOUND",
    )


def check_makes(model: model_pb2.Model, modality: model_pb2.Modality.ValueType, *, method: str) -> None:
    """Raises NotFound MODEL_NOT_FOUND, as Google does, for a model that has another method."""
    if model.modality != modality:
        methods = ", ".join(METHODS.get(model.modality, []))
        raise NotFound(
            f"models/{model.model_id} is not supported for {method}. It has: {methods}.", reason="MODEL_NOT_FOUND"
        )


def require_contents(value: object, param: str) -> None:
    """Raises InvalidArgument when nothing was given."""
    if not value:
        raise InvalidArgument.of(param, f"'{param}' must not be empty.", reason="MISSING_PARAMETER")


def google_model(model: model_pb2.Model) -> dict[str, Any]:
    """Google's members."""
    return {
        "name": f"models/{model.model_id}",
        "baseModelId": model.alias_of or model.model_id,
        "version": "001",
        "displayName": model.display_name or model.model_id,
        "description": model.description,
        "inputTokenLimit": _INPUT_TOKENS,
        "outputTokenLimit": _OUTPUT_TOKENS,
        "supportedGenerationMethods": METHODS.get(model.modality, []),
    }


def publisher_model(model: model_pb2.Model) -> dict[str, Any]:
    """Vertex's members."""
    return {
        "name": f"publishers/google/models/{model.model_id}",
        "versionId": "001",
        "openSourceCategory": "PROPRIETARY",
        "launchStage": "GA",
    }


async def _page(
    gateway: Gateway, api_key: access_service_pb2.ApiKey, page_size: str, page_token: str
) -> tuple[Sequence[model_pb2.Model], dict[str, str]]:
    models = [model for model in await gateway.catalog.list_all() if may_use(api_key, model)]
    page, next_token = page_of(models, page_size=page_size, page_token=page_token, largest=_LARGEST_PAGE)
    return page, {"nextPageToken": next_token} if next_token else {}


async def _model(gateway: Gateway, api_key: access_service_pb2.ApiKey, model_id: str) -> model_pb2.Model:
    model = await gateway.catalog.get(model_id)
    if not may_use(api_key, model):
        raise NotFound(f"models/{model_id[:100]} is not found.", reason="MODEL_NOT_FOUND")
    return model
