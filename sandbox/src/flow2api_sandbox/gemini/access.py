"""Who calls the Gemini API. Source: docs/upstream/google-official.md, sections 3, 6 and 10."""

from flow2api_sandbox.accounts import ApiKey, KeyService, KeyState
from flow2api_sandbox.calls import Call
from flow2api_sandbox.credentials import Caller
from flow2api_sandbox.errors import ApiError, error_info
from flow2api_sandbox.projects import GEMINI_API

SERVICE = "generativelanguage.googleapis.com"
_UNREGISTERED = (
    "Method doesn't allow unregistered callers (callers without established identity). Please use API Key or other"
    " form of API consumer identity to call this API."
)
_STATE_ERRORS = {
    KeyState.SERVICE_DISABLED: (403, "{title} is disabled in this project.", "SERVICE_DISABLED"),
    KeyState.BLOCKED: (403, "Requests to this API are blocked.", "API_KEY_SERVICE_BLOCKED"),
    KeyState.REFERRER_BLOCKED: (403, "Requests from referer <empty> are blocked.", "API_KEY_HTTP_REFERRER_BLOCKED"),
    KeyState.SUSPENDED: (403, "Permission denied: Consumer has been suspended.", "CONSUMER_SUSPENDED"),
    KeyState.BILLING_DISABLED: (403, "This API method requires billing to be enabled.", "BILLING_DISABLED"),
    KeyState.LOCATION_UNSUPPORTED: (400, "User location is not supported for the API use.", None),
}
_INTERACTION_WORDS = {403: "permission_denied", 400: "failed_precondition"}


def identify_key(call: Call) -> Caller:
    """The caller by the key of the header, brought up to now.

    Raises ApiError: 403 without a key, 400 ``API_KEY_INVALID`` for an unknown one (401 for interactions), and what the
    key's state says.
    """
    key = require_api_key(call, service=KeyService.GEMINI, host=SERVICE, title="The Generative Language API")
    return Caller(credential=key, project=key.project, location=GEMINI_API, owner=key.name)


def require_api_key(call: Call, *, service: KeyService, host: str, title: str) -> ApiKey:
    """The key of the header, for an API. Raises as `identify_key`; 403 for a key that is made for another API."""
    is_interaction = ".interaction" in call.route
    value = call.request.headers.get("x-goog-api-key", "")
    if not value:
        raise ApiError(403, _UNREGISTERED)
    key = call.world.api_keys.get(value)
    if key is None or key.state is KeyState.DELETED:
        message = "API key not valid. Please pass a valid API key."
        if is_interaction:
            raise ApiError(401, message)
        raise ApiError(400, message, details=[error_info("API_KEY_INVALID", service=host)])
    state = key.state if key.service is service else KeyState.BLOCKED
    if state is not KeyState.OK:
        status, message, reason = _STATE_ERRORS[state]
        details = None
        if reason is not None:
            details = [error_info(reason, service=host, consumer=f"projects/{key.project}")]
        raise ApiError(
            status,
            message.format(title=title),
            reason=_INTERACTION_WORDS[status] if is_interaction else reason,
            status="FAILED_PRECONDITION" if status == 400 else None,
            details=details,
        )
    call.world.settle_credential(key)
    return key
