"""Where Cloud Storage is. Source: docs/upstream/google-official.md, section 9."""

from starlette.routing import Route

from flow2api_sandbox.calls import endpoint
from flow2api_sandbox.storage.endpoints import get_object, put_object, render_storage
from flow2api_sandbox.world import World


def storage_routes(world: World) -> list[Route]:
    """The routes of the JSON API."""
    return [
        Route(
            "/storage/v1/b/{bucket}/o/{name:path}",
            endpoint(world, "storage.get", get_object, render_storage),
            methods=["GET"],
        ),
        Route(
            "/upload/storage/v1/b/{bucket}/o",
            endpoint(world, "storage.put", put_object, render_storage),
            methods=["POST"],
        ),
    ]
