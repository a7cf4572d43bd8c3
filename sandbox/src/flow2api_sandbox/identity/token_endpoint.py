"""``POST https://oauth2.googleapis.com/token``: assertions and refresh tokens become access tokens.

Source: docs/upstream/google-official.md, section 3.
"""

from urllib.parse import parse_qs

from starlette.responses import Response

from flow2api_sandbox.calls import Call
from flow2api_sandbox.errors import ApiError
from flow2api_sandbox.identity.accounts import AccountState, Principal, User
from flow2api_sandbox.identity.assertions import CLOUD_PLATFORM, check_assertion, read_scopes, refused
from flow2api_sandbox.wire import decode_base64, json_response, read_json

JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"
_OAUTH_WORDS = {
    400: "invalid_grant",
    401: "invalid_client",
    403: "access_denied",
    404: "invalid_request",
    413: "invalid_request",
    429: "rate_limit_exceeded",
    500: "internal_failure",
    503: "temporarily_unavailable",
}
_LONGEST_FORM = 64 * 1024


def render_oauth(error: ApiError) -> Response:
    """OAuth's envelope; errors without a word get the one that fits the status."""
    word = error.reason or _OAUTH_WORDS.get(error.http_status, "server_error")
    headers = {"cache-control": "no-store"}
    if error.retry_after is not None:
        headers["retry-after"] = f"{error.retry_after:g}"
    body = {"error": word, "error_description": error.message}
    return json_response(body, status=error.http_status, headers=headers)


async def grant_token(call: Call) -> Response:
    """An access token for an assertion or a refresh token."""
    form = await _read_form(call)
    store = call.world.identity
    match form.get("grant_type"):
        case str() as grant if grant == JWT_BEARER:
            await call.begin(account=_claimed_issuer(form.get("assertion", "")))
            assertion = check_assertion(_require(form, "assertion"), store)
            principal: Principal = assertion.account
            scopes = assertion.scopes
        case "refresh_token":
            user = _require_user(call, form)
            await call.begin(account=user.name)
            principal = user
            scopes = read_scopes(form.get("scope") or CLOUD_PLATFORM)
        case None | "":
            raise refused("invalid_request", "Required parameter is missing: grant_type")
        case other:
            raise refused("unsupported_grant_type", f"Invalid grant_type: {other}")
    bearer, expires_in = store.issue(principal, scopes)
    body = {"access_token": bearer.value, "expires_in": expires_in, "token_type": "Bearer"}
    if isinstance(principal, User):
        body["scope"] = " ".join(sorted(scopes))
    return json_response(body, headers={"cache-control": "no-store"})


async def _read_form(call: Call) -> dict[str, str]:
    content_type = call.request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if content_type != "application/x-www-form-urlencoded":
        raise refused("invalid_request", "The body must be application/x-www-form-urlencoded.")
    raw = await call.read_bytes()
    if len(raw) > _LONGEST_FORM:
        raise refused("invalid_request", "The request is too large.", status=413)
    try:
        fields = parse_qs(raw.decode("ascii"), keep_blank_values=True, strict_parsing=bool(raw), max_num_fields=32)
    except ValueError as exc:
        raise refused("invalid_request", "The form cannot be read.") from exc
    if repeated := [name for name, values in fields.items() if len(values) > 1]:
        raise refused("invalid_request", f"OAuth 2 parameters can only have a single value: {repeated[0]}")
    return {name: values[0] for name, values in fields.items()}


def _require(form: dict[str, str], name: str) -> str:
    if not form.get(name):
        raise refused("invalid_request", f"Missing required parameter: {name}")
    return form[name]


def _claimed_issuer(assertion: str) -> str:
    """Whom an assertion names, unchecked: faults are told by account, whether the assertion is good or not."""
    try:
        payload = decode_base64(assertion.split(".")[1], url_safe_too=True)
        claims = read_json(payload)
    except (IndexError, ValueError):
        return ""
    issuer = claims.get("iss") if isinstance(claims, dict) else None
    return issuer if isinstance(issuer, str) else ""


def _require_user(call: Call, form: dict[str, str]) -> User:
    users = call.world.identity.users
    client_id, secret = _require(form, "client_id"), _require(form, "client_secret")
    of_client = [user for user in users.values() if user.client_id == client_id]
    if not of_client:
        raise refused("invalid_client", "The OAuth client was not found.", status=401)
    if secret not in {user.client_secret for user in of_client}:
        raise refused("invalid_client", "Unauthorized", status=401)
    user = users.get(_require(form, "refresh_token"))
    if user is None or user not in of_client:
        raise refused("invalid_grant", "Bad Request")
    if user.state is not AccountState.OK:
        raise refused("invalid_grant", "Token has been expired or revoked.")
    return user
