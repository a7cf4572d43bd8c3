"""The ASGI application: every host of the upstream under one address."""

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response

from flow2api_sandbox.cdn import cdn_routes
from flow2api_sandbox.control import control_routes
from flow2api_sandbox.errors import ApiError, render_flow
from flow2api_sandbox.flow.routes import flow_routes
from flow2api_sandbox.gemini.routes import gemini_routes
from flow2api_sandbox.identity.routes import identity_routes
from flow2api_sandbox.settings import SandboxSettings
from flow2api_sandbox.storage.routes import storage_routes
from flow2api_sandbox.vertex.routes import vertex_routes
from flow2api_sandbox.world import World


def create_app(settings: SandboxSettings, world: World | None = None) -> Starlette:
    """The application over a world; without one it makes its own from the settings."""
    world = world or World(settings)
    routes = [
        *flow_routes(world),
        *cdn_routes(world),
        *gemini_routes(world),
        *identity_routes(world),
        *storage_routes(world),
        *vertex_routes(world),
        *control_routes(world),
    ]
    app = Starlette(routes=routes, exception_handlers={404: _not_found, 405: _not_found})
    app.state.world = world
    return app


async def _not_found(request: Request, _error: Exception) -> Response:
    return render_flow(ApiError(404, f"No call {request.method} {request.url.path} is known here."))
