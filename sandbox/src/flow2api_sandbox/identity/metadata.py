"""The metadata server of a machine in Google's cloud: its account's tokens without any key.

Source: docs/upstream/google-official.md, section 3, for the token; the other paths are those that google-auth reads.
The machine runs as ``IdentityStore.machine_account``; without one it has no account, as a VM made without.
"""

from typing import Any

from starlette.responses import PlainTextResponse, Response

from flow2api_sandbox.calls import Call
from flow2api_sandbox.errors import ApiError
from flow2api_sandbox.identity.accounts import AccountState, ServiceAccount
from flow2api_sandbox.identity.assertions import CLOUD_PLATFORM, read_scopes
from flow2api_sandbox.wire import json_response

FLAVOR = {"metadata-flavor": "Google", "server": "Metadata Server for VM"}


def render_metadata(error: ApiError) -> Response:
    """Words, as the metadata server answers."""
    return PlainTextResponse(error.message, status_code=error.http_status, headers=FLAVOR)


async def show_root(call: Call) -> Response:
    """Answer the question whether this is a metadata server at all."""
    await call.begin(account="")
    return PlainTextResponse("computeMetadata/\n", headers=FLAVOR)


async def give_token(call: Call) -> Response:
    """An access token of the machine's account."""
    account = await _require_account(call)
    given = call.request.query_params.get("scopes")
    try:
        scopes = read_scopes(given.replace(",", " ")) if given else frozenset({CLOUD_PLATFORM})
    except ApiError as exc:
        raise ApiError(400, exc.message) from exc
    if account.state is not AccountState.OK:
        raise ApiError(404, "The service account was not found.")
    bearer, expires_in = call.world.identity.issue(account, scopes)
    body = {"access_token": bearer.value, "expires_in": expires_in, "token_type": "Bearer"}
    return json_response(body, headers=FLAVOR)


async def give_email(call: Call) -> Response:
    """The e-mail address of the machine's account."""
    account = await _require_account(call)
    return PlainTextResponse(account.email, headers=FLAVOR)


async def give_scopes(call: Call) -> Response:
    """What the machine may ask for, one scope a line."""
    await _require_account(call)
    return PlainTextResponse(f"{CLOUD_PLATFORM}\n", headers=FLAVOR)


async def give_account(call: Call) -> Response:
    """Everything about the machine's account, or the names of what there is about it."""
    account = await _require_account(call)
    if call.request.query_params.get("recursive") != "true":
        return PlainTextResponse("aliases\nemail\nscopes\ntoken\n", headers=FLAVOR)
    body: dict[str, Any] = {"aliases": ["default"], "email": account.email, "scopes": [CLOUD_PLATFORM]}
    return json_response(body, headers=FLAVOR)


async def give_project(call: Call) -> Response:
    """The id of the machine's project."""
    account = await _require_account(call)
    return PlainTextResponse(account.project, headers=FLAVOR)


async def give_project_number(call: Call) -> Response:
    """The number of the machine's project."""
    account = await _require_account(call)
    return PlainTextResponse(call.world.project(account.project).number, headers=FLAVOR)


async def give_universe(call: Call) -> Response:
    """Which cloud this is."""
    await _require_account(call)
    return PlainTextResponse("googleapis.com", headers=FLAVOR)


async def _require_account(call: Call) -> ServiceAccount:
    headers = call.request.headers
    store = call.world.identity
    await call.begin(account=store.machine_account or "")
    if headers.get("metadata-flavor") != "Google" or "x-forwarded-for" in headers:
        raise ApiError(403, "Missing Metadata-Flavor:Google header.")
    account = store.service_accounts.get(store.machine_account or "")
    wanted = call.request.path_params.get("account", "default")
    if account is None or wanted not in ("default", account.email):
        raise ApiError(404, "The service account was not found.")
    return account
