"""The control API under ``/_sandbox``: accounts, keys, faults, the report, the clock. It needs no credential."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response
from starlette.routing import Route

from flow2api_sandbox.accounts import Account, ApiKey, KeyService, KeyState, SessionState, Tier
from flow2api_sandbox.calls import Call, Handler, endpoint
from flow2api_sandbox.control_clips import accept_clips, list_clips
from flow2api_sandbox.control_google import GOOGLE_TABLE
from flow2api_sandbox.errors import ApiError, render_flow
from flow2api_sandbox.faults import Fault
from flow2api_sandbox.media.served import LARGEST_BOX_BYTES
from flow2api_sandbox.wire import json_response
from flow2api_sandbox.world import World


class ControlBody(BaseModel):
    """Base of every control body."""

    model_config = ConfigDict(extra="forbid")


class AccountChange(ControlBody):
    """A Flow account to add, or what to change on a known one (by name or session token)."""

    session_token: str = Field(min_length=1)
    email: str | None = None
    tier: str | None = None
    credits: int | None = Field(default=None, ge=0)
    session_state: SessionState | None = None
    verification_required: bool | None = None
    rotate_session_token: bool | None = None


class KeyChange(ControlBody):
    """An API key to add or change; ``service`` is ``vertex`` for one of express mode."""

    key: str = Field(min_length=1)
    state: KeyState = KeyState.OK
    service: KeyService | None = None
    project: str | None = None


class ClockAdvance(ControlBody):
    """How far to move the clock forward."""

    seconds: float = Field(ge=0)


class ClipSize(ControlBody):
    """How large the files of clips shall be at least, from now on; 0 for as they are.

    Downloads are padded, and Veo's clips inside answers.
    """

    at_least_bytes: int = Field(ge=0, le=LARGEST_BOX_BYTES)


class TokenExpiry(ControlBody):
    """Whose access tokens to make invalid; absent: everybody's."""

    account: str | None = None


def apply_account_change(world: World, change: AccountChange) -> Account:
    """Add the account or change the known one."""
    account = world.accounts.get(change.session_token) or world.account_of_session(change.session_token)
    if account is None:
        account = world.add_account(change.session_token, tier=change.tier or Tier.ONE, credits=change.credits)
    account.email = change.email or account.email
    account.tier_name = change.tier or account.tier_name
    if change.credits is not None:
        account.credits = change.credits
    account.session_state = change.session_state or account.session_state
    if change.verification_required is not None:
        account.verification_required = change.verification_required
    if change.rotate_session_token is not None:
        account.rotate_session_token = change.rotate_session_token
    return account


def report(world: World) -> dict[str, Any]:
    """Everything that was counted; ``concurrency`` has now and the most, by account or key and kind."""
    for account in world.accounts.values():
        world.settle(account)
    for credential in world.credentials():
        world.settle_credential(credential)
    return {
        **world.ledger.as_json(),
        "concurrency": {
            name: {"running": dict(watch.running), "highest": dict(watch.highest)}
            for name, watch in world.watches().items()
            if watch.highest
        },
        "credits": {account.name: account.credits for account in world.accounts.values()},
        "now": world.clock.now(),
    }


async def _list_accounts(call: Call) -> Response:
    return json_response({"accounts": [_account_json(each) for each in call.world.accounts.values()]})


async def _change_account(call: Call) -> Response:
    change = await call.read(AccountChange)
    return json_response(_account_json(apply_account_change(call.world, change)))


async def _list_keys(call: Call) -> Response:
    return json_response({"keys": [_key_json(each) for each in call.world.api_keys.values()]})


async def _change_key(call: Call) -> Response:
    change = await call.read(KeyChange)
    key = call.world.add_api_key(change.key)
    key.state = change.state
    key.service = change.service or key.service
    if change.project is not None:
        key.own_project = call.world.project(change.project).project_id
    return json_response(_key_json(key))


async def _list_faults(call: Call) -> Response:
    return json_response({"faults": [_fault_json(*each) for each in call.world.faults.in_force()]})


async def _add_fault(call: Call) -> Response:
    fault = await call.read(Fault)
    return json_response(_fault_json(call.world.faults.add(fault), fault, 0), status=201)


async def _clear_faults(call: Call) -> Response:
    call.world.faults.clear()
    return Response(status_code=204)


async def _remove_fault(call: Call) -> Response:
    if not call.world.faults.remove(call.request.path_params["fault_id"]):
        raise ApiError(404, "There is no such fault.")
    return Response(status_code=204)


async def _report(call: Call) -> Response:
    return json_response(report(call.world))


async def _reset_report(call: Call) -> Response:
    call.world.reset_ledger()
    return Response(status_code=204)


async def _advance_clock(call: Call) -> Response:
    call.world.clock.advance((await call.read(ClockAdvance)).seconds)
    return json_response({"now": call.world.clock.now()})


async def _list_clips(call: Call) -> Response:
    return json_response({"clips": await list_clips(call)})


async def _accept_clips(call: Call) -> Response:
    return json_response({"clips": await accept_clips(call)}, status=201)


async def _size_clips(call: Call) -> Response:
    call.world.clips_at_least_bytes = (await call.read(ClipSize)).at_least_bytes
    return Response(status_code=204)


async def _expire_tokens(call: Call) -> Response:
    raw = await call.read_bytes()
    expiry = TokenExpiry.model_validate_json(raw) if raw else TokenExpiry()
    return json_response({"expired": call.world.expire_access_tokens(expiry.account)})


async def _health(_call: Call) -> Response:
    return json_response({"status": "ok"})


_TABLE: list[tuple[str, str, Handler]] = [
    ("GET", "/accounts", _list_accounts),
    ("POST", "/accounts", _change_account),
    ("GET", "/keys", _list_keys),
    ("POST", "/keys", _change_key),
    ("GET", "/faults", _list_faults),
    ("POST", "/faults", _add_fault),
    ("DELETE", "/faults", _clear_faults),
    ("DELETE", "/faults/{fault_id}", _remove_fault),
    ("GET", "/clips", _list_clips),
    ("POST", "/clips", _accept_clips),
    ("POST", "/clip-size", _size_clips),
    ("GET", "/report", _report),
    ("DELETE", "/report", _reset_report),
    ("POST", "/clock", _advance_clock),
    ("POST", "/expire-access-tokens", _expire_tokens),
    ("GET", "/health", _health),
    *GOOGLE_TABLE,
]


def control_routes(world: World) -> list[Route]:
    """The routes of the control API."""
    return [
        Route(f"/_sandbox{path}", endpoint(world, "control", handler, render_flow), methods=[method])
        for method, path, handler in _TABLE
    ]


def _account_json(account: Account) -> dict[str, Any]:
    return {
        "name": account.name,
        "session_token": account.session_token,
        "email": account.email,
        "tier": account.tier_name,
        "credits": account.credits,
        "session_state": account.session_state,
        "verification_required": account.verification_required,
        "rotate_session_token": account.rotate_session_token,
        "projects": account.projects,
    }


def _key_json(key: ApiKey) -> dict[str, Any]:
    return {"key": key.name, "state": key.state, "service": key.service, "project": key.project}


def _fault_json(fault_id: str, fault: Fault, used: int) -> dict[str, Any]:
    return {"id": fault_id, **fault.model_dump(), "used": used}
