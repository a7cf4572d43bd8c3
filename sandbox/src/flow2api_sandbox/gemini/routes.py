"""Where the Gemini calls are: each under ``/v1beta`` and under ``/v1``.

Source: docs/upstream/google-official.md, sections 2, 4 to 9. The names are those that faults and reports use.
"""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from flow2api_sandbox.calls import Handler, endpoint
from flow2api_sandbox.errors import render_gemini, render_interaction
from flow2api_sandbox.gemini import catalog, files, generate, interactions, videos
from flow2api_sandbox.gemini.count_tokens import count_tokens
from flow2api_sandbox.gemini.interaction_api import GEMINI_INTERACTIONS
from flow2api_sandbox.gemini.picture_api import GEMINI_PICTURES
from flow2api_sandbox.world import World

_TABLE: list[tuple[str, str, str, Handler]] = [
    ("POST", "/models/{model}:generateContent", "gemini.generate", generate.generate_content(GEMINI_PICTURES)),
    ("POST", "/models/{model}:streamGenerateContent", "gemini.stream", generate.stream_content(GEMINI_PICTURES)),
    ("POST", "/models/{model}:countTokens", "gemini.count_tokens", count_tokens(GEMINI_PICTURES)),
    ("POST", "/models/{model}:predict", "gemini.retired", catalog.refuse_retired),
    ("POST", "/models/{model}:predictLongRunning", "gemini.video", videos.predict_long_running),
    ("GET", "/models/{model}/operations/{operation}", "gemini.operation", videos.get_operation),
    ("GET", "/models", "gemini.models", catalog.list_models),
    ("GET", "/models/{model}", "gemini.model", catalog.get_model),
    ("GET", "/files", "gemini.file_list", files.list_files),
    ("GET", "/files/{file_id}:download", "gemini.file_download", files.download_file),
    ("GET", "/files/{file_id}", "gemini.file_get", files.get_file),
    ("DELETE", "/files/{file_id}", "gemini.file_delete", files.delete_file),
]
_INTERACTIONS: list[tuple[str, str, str, Handler]] = [
    ("POST", "/interactions", "gemini.interaction_create", interactions.create_interaction(GEMINI_INTERACTIONS)),
    (
        "GET",
        "/interactions/{interaction_id}",
        "gemini.interaction_get",
        interactions.get_interaction(GEMINI_INTERACTIONS),
    ),
    (
        "POST",
        "/interactions/{interaction_id}/cancel",
        "gemini.interaction_cancel",
        interactions.cancel_interaction(GEMINI_INTERACTIONS),
    ),
    (
        "DELETE",
        "/interactions/{interaction_id}",
        "gemini.interaction_delete",
        interactions.delete_interaction(GEMINI_INTERACTIONS),
    ),
]
_VERSIONS = ("v1beta", "v1")


def gemini_routes(world: World) -> list[Route]:
    """Every route of the Gemini API."""
    routes = []
    for version in _VERSIONS:
        routes += [
            Route(f"/{version}{path}", endpoint(world, name, handler, render_gemini), methods=[method])
            for method, path, name, handler in _TABLE
        ]
        routes += [
            Route(f"/{version}{path}", endpoint(world, name, handler, render_interaction), methods=[method])
            for method, path, name, handler in _INTERACTIONS
        ]
        routes.append(_upload_route(world, version))
    return routes


def _upload_route(world: World, version: str) -> Route:
    start = endpoint(world, "gemini.upload_start", files.start_upload, render_gemini)
    receive = endpoint(world, "gemini.upload_bytes", files.receive_upload, render_gemini)

    async def upload(request: Request) -> Response:
        return await (receive if "upload_id" in request.query_params else start)(request)

    return Route(f"/upload/{version}/files", upload, methods=["POST"])
