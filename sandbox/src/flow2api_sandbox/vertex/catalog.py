"""The models of Vertex, and the calls that went with their models.

Source: docs/upstream/google-official.md, sections 1, 4 and 7.
"""

from typing import Any

from starlette.responses import Response

from flow2api_sandbox.calls import Call, Handler
from flow2api_sandbox.errors import ApiError
from flow2api_sandbox.gemini.files import page_json
from flow2api_sandbox.gemini.models import IMAGE_MODELS, VIDEO_MODELS
from flow2api_sandbox.veo.models import VEO_MODELS
from flow2api_sandbox.vertex.access import EXPRESS_LOCATION, identify_anybody, identify_principal
from flow2api_sandbox.wire import json_response

_PAGE_SIZE_AT_MOST = 1000
_HELP = "https://cloud.google.com/vertex-ai/generative-ai/docs/learn/model-versions"


async def list_models(call: Call) -> Response:
    """All publisher models, in pages."""
    caller = identify_anybody(call)
    await call.begin(account=caller.name)
    served = [each for each in _model_ids() if call.world.availability.serves(each, EXPRESS_LOCATION)]
    models = [_model_json(each) for each in served]
    return json_response(page_json(call, "publisherModels", models, _PAGE_SIZE_AT_MOST))


async def get_model(call: Call) -> Response:
    """One publisher model."""
    caller = identify_anybody(call)
    model_id = call.request.path_params["model"]
    await call.begin(account=caller.name, model=model_id)
    if model_id not in _model_ids() or not call.world.availability.serves(model_id, EXPRESS_LOCATION):
        raise ApiError(404, f"Publisher Model `publishers/google/models/{model_id}` is not found.")
    return json_response(_model_json(model_id))


def refuse(method: str) -> Handler:
    """The handler of a method whose models are all gone."""

    async def handle(call: Call) -> Response:
        caller = identify_principal(call)
        model_id = call.request.path_params["model"]
        await call.begin(account=caller.name, project=caller.project, location=caller.location, model=model_id)
        raise model_not_found(call, model_id, method)

    return handle


def model_not_found(call: Call, model_id: str, method: str) -> ApiError:
    """The 404 of a model that does not exist, is not served in the location or does not know the method."""
    path = call.request.url.path.split("/", 2)[-1].rpartition(":")[0]
    if model_id in _model_ids() and method not in _methods(model_id):
        return ApiError(400, f"Model {model_id} does not support {method}.")
    return ApiError(
        404,
        f"Publisher Model `{path}` was not found or your project does not have access to it. Please ensure you are"
        f" using a valid model version. For more information, see: {_HELP}",
    )


def _model_ids() -> list[str]:
    return [*IMAGE_MODELS, *VIDEO_MODELS, *VEO_MODELS]


def _methods(model_id: str) -> tuple[str, ...]:
    if model_id in IMAGE_MODELS:
        return ("generateContent", "streamGenerateContent", "countTokens")
    return ("predictLongRunning",) if model_id in VEO_MODELS else ()


def _model_json(model_id: str) -> dict[str, Any]:
    return {"name": f"publishers/google/models/{model_id}", "versionId": "001", "launchStage": "GA"}
