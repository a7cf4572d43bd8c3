"""Who calls the Gemini API. Source: docs/upstream/google-official.md, sections 3, 6 and 10."""

from flow2api_sandbox.accounts import ApiKey, KeyState
from flow2api_sandbox.calls import Call
from flow2api_sandbox.errors import ApiError
from flow2api_sandbox.ledger import GenerationKind

_UNREGISTERED = (
    "Method doesn't allow unregistered callers (callers without established identity). Please use API Key or other"
    " form of API consumer identity to call this API."
)
_STATE_ERRORS = {
    KeyState.SERVICE_DISABLED: (403, "The Generative Language API is disabled in this project.", "SERVICE_DISABLED"),
    KeyState.BLOCKED: (403, "Requests to this API are blocked.", "API_KEY_SERVICE_BLOCKED"),
    KeyState.SUSPENDED: (403, "Permission denied: Consumer has been suspended.", "CONSUMER_SUSPENDED"),
    KeyState.BILLING_DISABLED: (403, "This API method requires billing to be enabled.", "BILLING_DISABLED"),
    KeyState.LOCATION_UNSUPPORTED: (400, "User location is not supported for the API use.", None),
}
_INTERACTION_WORDS = {403: "permission_denied", 400: "failed_precondition"}


def require_api_key(call: Call) -> ApiKey:
    """The key of the header, brought up to now.

    Raises ApiError: 403 without a key, 400 ``API_KEY_INVALID`` for an unknown one (401 for interactions), and what the
    key's state says.
    """
    is_interaction = call.route.startswith("gemini.interaction")
    value = call.request.headers.get("x-goog-api-key", "")
    if not value:
        raise ApiError(403, _UNREGISTERED)
    key = call.world.api_keys.get(value)
    if key is None:
        message = "API key not valid. Please pass a valid API key."
        if is_interaction:
            raise ApiError(401, message)
        raise ApiError(400, message, reason="API_KEY_INVALID")
    if key.state is not KeyState.OK:
        status, message, reason = _STATE_ERRORS[key.state]
        word = "FAILED_PRECONDITION" if status == 400 else None
        raise ApiError(status, message, reason=_INTERACTION_WORDS[status] if is_interaction else reason, status=word)
    call.world.settle_key(key)
    return key


def require_capacity(call: Call, key: ApiKey, kind: GenerationKind, cap: int | None) -> None:
    """Raise ApiError 429 when the key already runs as many generations as the settings allow."""
    if cap is not None and key.watch.running[kind] >= cap:
        is_interaction = call.route.startswith("gemini.interaction")
        reason = None if is_interaction else "GenerateRequestsPerMinutePerProjectPerModel"
        raise ApiError(429, "Resource has been exhausted (e.g. check quota).", reason=reason, retry_after=1)
