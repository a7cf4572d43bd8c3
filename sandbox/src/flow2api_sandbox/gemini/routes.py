"""Where the Gemini calls are."""

from starlette.routing import Route

from flow2api_sandbox.world import World


def gemini_routes(world: World) -> list[Route]:
    """Every route of the Gemini API."""
    return []
