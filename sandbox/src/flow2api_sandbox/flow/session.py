"""``auth/session``: the cookie buys an access token. Source: docs/upstream/flow.md, section 2."""

from starlette.responses import HTMLResponse, RedirectResponse, Response

from flow2api_sandbox.accounts import Account, SessionState
from flow2api_sandbox.calls import Call
from flow2api_sandbox.clock import to_rfc3339
from flow2api_sandbox.errors import ApiError
from flow2api_sandbox.flow.access import COOKIE, session_token
from flow2api_sandbox.wire import json_response

LOGIN_PATH = "/auth/signin"
_LOGIN_PAGE = "<!doctype html><title>Sign in</title><p>Sign in to continue to Flow</p>"


async def get_session(call: Call) -> Response:
    """Answer as the state of the account's session says; a stranger gets ``{}``."""
    account = call.world.account_of_session(session_token(call.request))
    if account is not None:
        call.when_over = call.world.ledger.begin_session(account.name, call.world.clock.now())
    await call.begin(account=account.name if account else "")
    if account is None:
        return json_response({})
    answer = _unusable_session(account)
    if answer is not None:
        return answer
    token = call.world.access_token(account)
    body = {"access_token": token.value, "expires": to_rfc3339(token.expires_at), "user": _user(account)}
    response = json_response(body)
    if account.rotate_session_token:
        renewed = call.world.renew_session_token(account)
        response.set_cookie(COOKIE, renewed, path="/", secure=True, httponly=True, samesite="lax")
    return response


async def show_login_page(call: Call) -> Response:
    """Where the redirect of a dead session leads to."""
    await call.begin(account="")
    return HTMLResponse(_LOGIN_PAGE)


def _unusable_session(account: Account) -> Response | None:
    match account.session_state:
        case SessionState.SIGNED_OUT:
            return json_response({})
        case SessionState.REFRESH_NEEDED:
            body = {"error": "ACCESS_TOKEN_REFRESH_NEEDED", "access_token": "ya29.stale", "user": _user(account)}
            return json_response(body)
        case SessionState.NO_ACCESS_TOKEN:
            return json_response({"user": _user(account)})
        case SessionState.LOGIN_PAGE:
            return RedirectResponse(f"/fx/api{LOGIN_PATH}", status_code=302)
        case SessionState.HTML:
            return HTMLResponse(_LOGIN_PAGE)
        case SessionState.REFUSED:
            raise ApiError(401, "UNAUTHORIZED")
        case SessionState.OK:
            return None


def _user(account: Account) -> dict[str, str]:
    # Not the account's name here, which is its first session token: no upstream tells that.
    display_name = account.email.partition("@")[0]
    return {"name": display_name, "email": account.email, "image": "https://lh3.googleusercontent.com/a/x"}
