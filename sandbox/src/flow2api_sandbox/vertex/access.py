"""Who calls Vertex, for which project, and whether both may. Source: docs/upstream/google-official.md, 2, 3 and 10."""

from flow2api_sandbox.accounts import KeyService
from flow2api_sandbox.calls import Call
from flow2api_sandbox.credentials import Caller
from flow2api_sandbox.errors import ApiError, error_info
from flow2api_sandbox.gemini.access import require_api_key
from flow2api_sandbox.identity.accounts import Principal
from flow2api_sandbox.identity.bearers import require_bearer
from flow2api_sandbox.projects import Project, ProjectState, is_location

SERVICE = "aiplatform.googleapis.com"
EXPRESS_LOCATION = "global"
_TITLE = "Vertex AI API"
_PERMISSION = "aiplatform.endpoints.predict"
_INTERACTION_WORD = "permission_denied"
_KEYS_UNSUPPORTED = (
    "API keys are not supported by this API. Expected OAuth2 access token or other authentication credentials that"
    " assert a principal. See https://cloud.google.com/docs/authentication"
)


def identify_principal(call: Call) -> Caller:
    """The caller of a path with a project and a location.

    Raises ApiError: 401 for a bad token (and for an API key), 403 for a project that is switched off, unpaid, suspended
    or closed to the account, 400 for a location that does not exist.
    """
    parameters = call.request.path_params
    if "x-goog-api-key" in call.request.headers and "authorization" not in call.request.headers:
        raise ApiError(401, _KEYS_UNSUPPORTED, details=[error_info("CREDENTIALS_MISSING", service=SERVICE)])
    principal = require_bearer(call, service=SERVICE)
    call.world.settle_credential(principal)
    project_id, location = parameters["project"], parameters["location"]
    _require_user_project(call, principal)
    _require_project(call, principal, project_id, resource=_resource(call))
    if not is_location(location):
        raise ApiError(400, f"Unsupported location: {location}")
    owner = f"projects/{project_id}/locations/{location}"
    return Caller(credential=principal, project=project_id, location=location, owner=owner)


def identify_anybody(call: Call) -> Caller:
    """The caller of a path without a project: an account, or an express key. Raises ApiError as the others."""
    if "authorization" not in call.request.headers:
        return identify_express(call)
    principal = require_bearer(call, service=SERVICE)
    _require_user_project(call, principal)
    project = call.request.headers.get("x-goog-user-project") or next(iter(sorted(principal.projects)), "")
    return Caller(credential=principal, project=project, location=EXPRESS_LOCATION, owner=project)


def identify_express(call: Call) -> Caller:
    """The caller of a path without a project, by an express key. Raises ApiError as keys of the Gemini API do."""
    key = require_api_key(call, service=KeyService.VERTEX, host=SERVICE, title=_TITLE)
    project = call.world.project(key.project)
    _require_usable(call, project)
    owner = f"projects/{key.project}/locations/{EXPRESS_LOCATION}"
    return Caller(credential=key, project=key.project, location=EXPRESS_LOCATION, owner=owner)


def may_use_project(caller: Caller, project_id: str) -> bool:
    """Whether the caller has a role in a project; a key has one in its own."""
    projects = getattr(caller.credential, "projects", None)
    return project_id in projects if projects is not None else project_id == caller.project


def _require_user_project(call: Call, principal: Principal) -> None:
    named = call.request.headers.get("x-goog-user-project")
    if named and named not in principal.projects:
        raise _forbidden(
            call,
            f"Caller does not have required permission to use project {named}. Grant the caller the"
            " roles/serviceusage.serviceUsageConsumer role, or a custom role with the serviceusage.services.use"
            " permission.",
            "USER_PROJECT_DENIED",
            consumer=f"projects/{named}",
        )


def _require_project(call: Call, principal: Principal, project_id: str, *, resource: str) -> None:
    project = call.world.projects.get(project_id)
    if project is not None:
        _require_usable(call, project)
    if project is None or project_id not in principal.projects:
        # Google does not tell a project that does not exist from one that is closed.
        raise _forbidden(
            call,
            f"Permission '{_PERMISSION}' denied on resource '//{SERVICE}/{resource}' (or it may not exist).",
            "IAM_PERMISSION_DENIED",
            domain=SERVICE,
            permission=_PERMISSION,
            resource=resource,
        )


def _require_usable(call: Call, project: Project) -> None:
    console = "https://console.developers.google.com"
    number = project.number
    match project.state:
        case ProjectState.SERVICE_DISABLED:
            message = (
                f"{_TITLE} has not been used in project {project.project_id} before or it is disabled. Enable it by"
                f" visiting {console}/apis/api/{SERVICE}/overview?project={project.project_id} then retry. If you"
                " enabled this API recently, wait a few minutes for the action to propagate to our systems and retry."
            )
            reason = "SERVICE_DISABLED"
        case ProjectState.BILLING_DISABLED:
            message = (
                f"This API method requires billing to be enabled. Please enable billing on project #{number} by"
                f" visiting {console}/billing/enable?project={number} then retry. If you enabled billing for this"
                " project recently, wait a few minutes for the action to propagate to our systems and retry."
            )
            reason = "BILLING_DISABLED"
        case ProjectState.SUSPENDED:
            message = f"Permission denied: Consumer 'projects/{number}' has been suspended."
            reason = "CONSUMER_SUSPENDED"
        case _:
            return
    raise _forbidden(call, message, reason, service=SERVICE, consumer=f"projects/{number}")


def _forbidden(call: Call, message: str, reason: str, *, domain: str = "googleapis.com", **metadata: str) -> ApiError:
    word = _INTERACTION_WORD if ".interaction" in call.route else reason
    return ApiError(403, message, reason=word, details=[error_info(reason, domain=domain, **metadata)])


def _resource(call: Call) -> str:
    path = call.request.url.path.split("/", 2)[-1]
    return path.rpartition(":")[0] or path
