"""The model list, and the calls that were retired with their models.

Source: docs/upstream/google-official.md, sections 1, 4, 7 and 8.
"""

from typing import Any

from starlette.responses import Response

from flow2api_sandbox.calls import Call
from flow2api_sandbox.errors import ApiError
from flow2api_sandbox.gemini.access import identify_key
from flow2api_sandbox.gemini.files import page_json
from flow2api_sandbox.gemini.models import IMAGE_MODELS, VIDEO_MODELS
from flow2api_sandbox.projects import GEMINI_API
from flow2api_sandbox.veo.models import VEO_MODELS
from flow2api_sandbox.wire import json_response

_PAGE_SIZE_AT_MOST = 1000


async def list_models(call: Call) -> Response:
    """All models, in pages."""
    caller = identify_key(call)
    await call.begin(account=caller.name)
    return json_response(page_json(call, "models", list(_models(call).values()), _PAGE_SIZE_AT_MOST))


async def get_model(call: Call) -> Response:
    """One model."""
    caller = identify_key(call)
    await call.begin(account=caller.name)
    model_id = call.request.path_params["model"]
    models = _models(call)
    if model_id not in models:
        raise model_not_found(call, model_id, "this method")
    return json_response(models[model_id])


async def refuse_retired(call: Call) -> Response:
    """``predict``: every model of it is gone."""
    caller = identify_key(call)
    await call.begin(account=caller.name)
    method = call.request.url.path.rsplit(":", 1)[-1]
    raise model_not_found(call, call.request.path_params["model"], method)


def model_not_found(call: Call, model_id: str, method: str) -> ApiError:
    """The 404 of a model that does not exist or does not know the method."""
    version = call.request.url.path.split("/")[1]
    return ApiError(
        404,
        f"models/{model_id} is not found for API version {version}, or is not supported for {method}. Call ListModels"
        " to see the list of available models and their supported methods.",
    )


def _models(call: Call) -> dict[str, dict[str, Any]]:
    methods: list[tuple[str, str, list[str]]] = [
        *((each.model_id, each.display_name, ["generateContent", "countTokens"]) for each in IMAGE_MODELS.values()),
        *((each.model_id, each.display_name, ["createInteraction"]) for each in VIDEO_MODELS.values()),
        *((each.model_id, each.display_name, ["predictLongRunning"]) for each in VEO_MODELS.values()),
    ]
    return {each[0]: _model_json(*each) for each in methods if call.world.availability.serves(each[0], GEMINI_API)}


def _model_json(model_id: str, display_name: str, methods: list[str]) -> dict[str, Any]:
    return {
        "name": f"models/{model_id}",
        "version": "001",
        "displayName": display_name,
        "description": f"{display_name}, played by the sandbox.",
        "inputTokenLimit": 65_536,
        "outputTokenLimit": 32_768,
        "supportedGenerationMethods": methods,
        "temperature": 1,
        "topP": 0.95,
        "topK": 64,
        "maxTemperature": 2,
        "thinking": True,
    }
