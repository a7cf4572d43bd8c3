"""Where the token endpoint and the metadata server are. The names are those that faults and reports use.

Source: docs/upstream/google-official.md, section 3.
"""

from starlette.routing import Route

from flow2api_sandbox.calls import endpoint
from flow2api_sandbox.identity import metadata
from flow2api_sandbox.identity.token_endpoint import grant_token, render_oauth
from flow2api_sandbox.world import World

TOKEN_PATH = "/token"  # noqa: S105 - a path
_ROOT = "/computeMetadata/v1"
_ACCOUNT = f"{_ROOT}/instance/service-accounts/{{account}}"
_METADATA = [
    ("/", "metadata.root", metadata.show_root),
    (f"{_ACCOUNT}/token", "metadata.token", metadata.give_token),
    (f"{_ACCOUNT}/email", "metadata.email", metadata.give_email),
    (f"{_ACCOUNT}/scopes", "metadata.scopes", metadata.give_scopes),
    (f"{_ACCOUNT}/", "metadata.account", metadata.give_account),
    (f"{_ROOT}/project/project-id", "metadata.project", metadata.give_project),
    (f"{_ROOT}/project/numeric-project-id", "metadata.project", metadata.give_project_number),
    (f"{_ROOT}/universe/universe-domain", "metadata.universe", metadata.give_universe),
]


def identity_routes(world: World) -> list[Route]:
    """Every route by which somebody gets a token."""
    token = endpoint(world, "oauth.token", grant_token, render_oauth)
    return [
        Route(TOKEN_PATH, token, methods=["POST"]),
        *(
            Route(path, endpoint(world, name, handler, metadata.render_metadata), methods=["GET"])
            for path, name, handler in _METADATA
        ),
    ]
