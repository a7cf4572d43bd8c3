"""Who shows an access token, and whether it is good for the call.

Source: docs/upstream/google-official.md, sections 3 and 10.
"""

from flow2api_sandbox.calls import Call
from flow2api_sandbox.errors import ApiError, error_info
from flow2api_sandbox.identity.accounts import Principal
from flow2api_sandbox.identity.assertions import CLOUD_PLATFORM

_EXPECTED = (
    "Expected OAuth 2 access token, login cookie or other valid authentication credential. See"
    " https://developers.google.com/identity/sign-in/web/devconsole-project."
)


def require_bearer(call: Call, *, service: str, scopes: frozenset[str] = frozenset({CLOUD_PLATFORM})) -> Principal:
    """The account behind the call's access token.

    Raises ApiError: 401 without a token and for one that is expired or unknown, 403 for one without one of the scopes.
    """
    kind, _, value = call.request.headers.get("authorization", "").partition(" ")
    if kind.lower() != "bearer" or not value:
        details = [error_info("CREDENTIALS_MISSING", service=service)]
        raise ApiError(401, f"Request is missing required authentication credential. {_EXPECTED}", details=details)
    bearer = call.world.identity.bearer(value.strip())
    if bearer is None:
        is_ours = value.startswith("ya29.")
        reason = "ACCESS_TOKEN_EXPIRED" if is_ours else "ACCESS_TOKEN_TYPE_UNSUPPORTED"
        message = f"Request had invalid authentication credentials. {_EXPECTED}"
        raise ApiError(401, message, details=[error_info(reason, service=service)])
    if not bearer.scopes & scopes:
        details = [error_info("ACCESS_TOKEN_SCOPE_INSUFFICIENT", service=service)]
        raise ApiError(403, "Request had insufficient authentication scopes.", details=details)
    return bearer.principal
