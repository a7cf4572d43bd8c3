"""Where the calls of Vertex are: each under ``/v1`` and ``/v1beta1``; express keys have paths without a project.

Source: docs/upstream/google-official.md, sections 2, 4 to 8. The names are those that faults and reports use.
"""

from starlette.routing import Route

from flow2api_sandbox.calls import Handler, endpoint
from flow2api_sandbox.errors import ErrorRenderer, render_gemini, render_interaction
from flow2api_sandbox.gemini import generate, interactions
from flow2api_sandbox.gemini.count_tokens import count_tokens
from flow2api_sandbox.vertex import catalog, videos
from flow2api_sandbox.vertex.access import identify_express, identify_principal
from flow2api_sandbox.vertex.interactions import VERTEX_INTERACTIONS
from flow2api_sandbox.vertex.pictures import EXPRESS_PICTURES, VERTEX_PICTURES
from flow2api_sandbox.world import World

_LOCATION = "/projects/{project}/locations/{location}"
_MODELS = "/publishers/google/models"
_MODEL = f"{_MODELS}/{{model}}"
_TABLE: list[tuple[str, str, str, Handler]] = [
    ("POST", f"{_LOCATION}{_MODEL}:generateContent", "vertex.generate", generate.generate_content(VERTEX_PICTURES)),
    ("POST", f"{_LOCATION}{_MODEL}:streamGenerateContent", "vertex.stream", generate.stream_content(VERTEX_PICTURES)),
    (
        "POST",
        f"{_LOCATION}{_MODEL}:predictLongRunning",
        "vertex.video",
        videos.predict_long_running(identify_principal),
    ),
    (
        "POST",
        f"{_LOCATION}{_MODEL}:fetchPredictOperation",
        "vertex.operation",
        videos.fetch_predict_operation(identify_principal),
    ),
    ("POST", f"{_LOCATION}{_MODEL}:countTokens", "vertex.count_tokens", count_tokens(VERTEX_PICTURES)),
    ("POST", f"{_MODEL}:countTokens", "vertex.count_tokens", count_tokens(EXPRESS_PICTURES)),
    ("POST", f"{_LOCATION}{_MODEL}:predict", "vertex.retired", catalog.refuse("predict")),
    ("POST", f"{_MODEL}:generateContent", "vertex.generate", generate.generate_content(EXPRESS_PICTURES)),
    ("POST", f"{_MODEL}:streamGenerateContent", "vertex.stream", generate.stream_content(EXPRESS_PICTURES)),
    ("POST", f"{_MODEL}:predictLongRunning", "vertex.video", videos.predict_long_running(identify_express)),
    ("POST", f"{_MODEL}:fetchPredictOperation", "vertex.operation", videos.fetch_predict_operation(identify_express)),
    ("GET", _MODELS, "vertex.models", catalog.list_models),
    ("GET", _MODEL, "vertex.model", catalog.get_model),
]
_INTERACTIONS: list[tuple[str, str, str, Handler]] = [
    ("POST", "", "vertex.interaction_create", interactions.create_interaction(VERTEX_INTERACTIONS)),
    ("GET", "/{interaction_id}", "vertex.interaction_get", interactions.get_interaction(VERTEX_INTERACTIONS)),
    (
        "POST",
        "/{interaction_id}/cancel",
        "vertex.interaction_cancel",
        interactions.cancel_interaction(VERTEX_INTERACTIONS),
    ),
    (
        "DELETE",
        "/{interaction_id}",
        "vertex.interaction_delete",
        interactions.delete_interaction(VERTEX_INTERACTIONS),
    ),
]
_VERSIONS = ("v1", "v1beta1")


def vertex_routes(world: World) -> list[Route]:
    """Every route of Vertex."""
    calls: list[tuple[str, str, str, Handler, ErrorRenderer]] = [
        *((method, path, name, handler, render_gemini) for method, path, name, handler in _TABLE),
        *(
            (method, f"{_LOCATION}/interactions{path}", name, handler, render_interaction)
            for method, path, name, handler in _INTERACTIONS
        ),
    ]
    return [
        Route(f"/{version}{path}", endpoint(world, name, handler, render), methods=[method])
        for version in _VERSIONS
        for method, path, name, handler, render in calls
    ]
