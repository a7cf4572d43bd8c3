"""Who calls: the cookie of the session side, the bearer of the API side.

Source: docs/upstream/flow.md, sections 1, 2, 12 and 13.
"""

from starlette.requests import Request

from flow2api_sandbox.accounts import Account, Tier
from flow2api_sandbox.calls import Call
from flow2api_sandbox.errors import ApiError
from flow2api_sandbox.flow.requests import ProjectContext, TieredContext

COOKIE = "__Secure-next-auth.session-token"
_CONTENT_TYPES = ("application/json", "text/plain;charset=utf-8")


def session_token(request: Request) -> str:
    """The cookie's value, put together when it came in numbered pieces; empty when there is none."""
    cookies = request.cookies
    if COOKIE in cookies:
        return cookies[COOKIE]
    pieces: list[str] = []
    while (piece := cookies.get(f"{COOKIE}.{len(pieces)}")) is not None:
        pieces.append(piece)
    return "".join(pieces)


def require_session(call: Call) -> Account:
    """The account of the cookie. Raises ApiError 401."""
    account = call.world.account_of_session(session_token(call.request))
    if account is None:
        raise ApiError(401, "UNAUTHORIZED")
    return account


def require_bearer(call: Call) -> Account:
    """The account of the access token, brought up to now. Raises ApiError 401, and 400 for a wrong content type."""
    scheme, _, value = call.request.headers.get("authorization", "").partition(" ")
    account = call.world.account_of_bearer(value) if scheme.lower() == "bearer" else None
    if account is None:
        raise ApiError(
            401,
            "Request had invalid authentication credentials. Expected OAuth 2 access token, login cookie or other"
            " valid authentication credential.",
        )
    if call.request.method == "POST":
        content_type = call.request.headers.get("content-type", "").lower().replace("; ", ";")
        if not content_type.startswith(_CONTENT_TYPES):
            raise ApiError(400, f"Content type {content_type or 'none'} is not supported.")
    call.world.settle(account)
    return account


def require_verified(account: Account) -> None:
    """Raise the human-verification refusal when the account is marked for it."""
    if account.verification_required:
        raise ApiError(403, "reCAPTCHA evaluation failed", reason="PUBLIC_ERROR_UNUSUAL_ACTIVITY")


def require_project(account: Account, context: ProjectContext) -> None:
    """Raise ApiError 404 for a project that is not the account's, 403 for a tier that it does not have."""
    if context.project_id not in account.projects:
        raise ApiError(404, "Requested entity was not found.")
    if isinstance(context, TieredContext) and context.user_paygate_tier not in (account.tier, account.tier_name):
        raise access_denied(f"userPaygateTier {context.user_paygate_tier} is not that of the account.")


def require_tier(account: Account, needed: Tier, what: str) -> None:
    """Raise ApiError 403 when the plan is too low."""
    if account.tier.rank < needed.rank:
        raise access_denied(f"{what} needs {needed}.")


def access_denied(message: str) -> ApiError:
    """The refusal of a plan that does not allow something."""
    return ApiError(403, message, reason="PUBLIC_ERROR_MODEL_ACCESS_DENIED")
