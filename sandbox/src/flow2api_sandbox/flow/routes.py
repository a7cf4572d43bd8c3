"""Where the Flow calls are. ``LABS`` is ``<base>/fx/api``, ``API`` is ``<base>/aisandbox/v1``.

Source: docs/upstream/flow.md, sections 1 to 11. The names are those that faults and reports use.
"""

from starlette.routing import Route

from flow2api_sandbox.calls import Handler, endpoint
from flow2api_sandbox.errors import ErrorRenderer, render_flow, render_trpc
from flow2api_sandbox.flow import images, labs, media, session, status, uploads
from flow2api_sandbox.flow.models import SubmitKind
from flow2api_sandbox.flow.submit import submit_handler
from flow2api_sandbox.world import World

LABS_PREFIX = "/fx/api"
API_PREFIX = "/aisandbox/v1"

_LABS: list[tuple[str, str, str, Handler]] = [
    ("GET", "/auth/session", "flow.session", session.get_session),
    ("GET", session.LOGIN_PATH, "flow.login_page", session.show_login_page),
    ("GET", "/trpc/media.getMediaUrlRedirect", "flow.media_redirect", labs.redirect_to_media),
    ("POST", "/trpc/project.createProject", "flow.create_project", labs.create_project),
    ("POST", "/trpc/project.deleteProject", "flow.delete_project", labs.delete_project),
    ("POST", "/trpc/media.deleteMedia", "flow.delete_media", labs.delete_media),
    ("GET", "/trpc/videoFx.getVideoModelConfig", "flow.model_config", labs.list_video_models),
]

_SUBMITS = {
    SubmitKind.TEXT: "flow.video_text",
    SubmitKind.START: "flow.video_start",
    SubmitKind.START_END: "flow.video_start_end",
    SubmitKind.REFERENCE: "flow.video_reference",
    SubmitKind.EXTEND: "flow.video_extend",
    SubmitKind.UPSAMPLE: "flow.video_upsample",
}

_API: list[tuple[str, str, str, Handler]] = [
    ("POST", "/projects/{project_id}/flowMedia:batchGenerateImages", "flow.images", images.generate_images),
    ("POST", "/video:batchCheckAsyncVideoGenerationStatus", "flow.status", status.check_status),
    ("GET", "/credits", "flow.credits", images.get_credits),
    *(
        ("POST", f"/video:batchAsyncGenerateVideo{kind.value}", name, submit_handler(kind))
        for kind, name in _SUBMITS.items()
    ),
    ("POST", "/flow/uploadImage", "flow.upload", uploads.upload_image),
    ("POST", ":uploadUserImage", "flow.upload_old", uploads.upload_user_image),
    ("POST", "/flow/upsampleImage", "flow.upsample_image", images.upsample_image),
    ("GET", "/media/{name}", "flow.media", media.get_media),
    ("POST", ":runVideoFxConcatenation", "flow.concat", media.concatenate),
    ("POST", ":runVideoFxCheckConcatenationStatus", "flow.concat_status", media.check_concatenation),
]


def flow_routes(world: World) -> list[Route]:
    """Every route of both hosts of Flow."""
    return [
        *_routes(world, API_PREFIX, _API, render_flow),
        *_routes(world, LABS_PREFIX, _LABS, render_trpc),
    ]


def _routes(
    world: World, prefix: str, table: list[tuple[str, str, str, Handler]], render: ErrorRenderer
) -> list[Route]:
    return [
        Route(prefix + path, endpoint(world, name, handler, render), methods=[method])
        for method, path, name, handler in table
    ]
