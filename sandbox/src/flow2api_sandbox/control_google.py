"""The control API's side of Google's cloud: service accounts, users, projects, buckets, quotas, the bill."""

import asyncio
from typing import Any

from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from flow2api_sandbox.calls import Call, Handler, parse_body
from flow2api_sandbox.errors import ApiError
from flow2api_sandbox.identity.accounts import (
    AccountState,
    ServiceAccount,
    SigningKey,
    User,
    new_key_id,
    read_public_key,
)
from flow2api_sandbox.identity.routes import TOKEN_PATH
from flow2api_sandbox.projects import Availability, ProjectState
from flow2api_sandbox.quotas import Quota
from flow2api_sandbox.wire import json_response


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class ServiceAccountChange(_Body):
    """A service account to add or change. ``projects``: where it has its role, by default its own alone."""

    email: str = Field(min_length=3, pattern="@")
    project: str | None = Field(default=None, min_length=1)
    state: AccountState | None = None
    projects: set[str] | None = None


class PublicKey(_Body):
    """A key that was made elsewhere; ``public_key`` is PEM. Absent: the sandbox makes one."""

    public_key: str | None = None
    private_key_id: str | None = None


class UserChange(_Body):
    """A user with a refresh token, to add or replace."""

    email: str = Field(min_length=3)
    client_id: str = Field(min_length=1)
    client_secret: str = Field(min_length=1)
    refresh_token: str = Field(min_length=1)
    state: AccountState = AccountState.OK
    projects: set[str] = set()


class ProjectChange(_Body):
    """A project to add or change."""

    project: str = Field(min_length=1)
    state: ProjectState = ProjectState.OK


class BucketChange(_Body):
    """A bucket to add."""

    bucket: str = Field(min_length=1)
    project: str = Field(min_length=1)


class Machine(_Body):
    """Whose tokens the metadata server gives; ``null``: nobody's."""

    service_account: str | None


class ClockSkew(_Body):
    """How far the token endpoint's clock is ahead of the machine's (behind: negative)."""

    seconds: float


async def _list_service_accounts(call: Call) -> Response:
    accounts = call.world.identity.service_accounts.values()
    return json_response({"service_accounts": [_account_json(each) for each in accounts]})


async def _change_service_account(call: Call) -> Response:
    change = await call.read(ServiceAccountChange)
    store = call.world.identity
    account = store.service_accounts.get(change.email)
    if account is None:
        if change.project is None:
            raise ApiError(400, "project is needed for a new service account.")
        account = store.add_service_account(change.email, project=call.world.project(change.project).project_id)
    account.project = change.project or account.project
    account.state = change.state or account.state
    if change.projects is not None:
        account.projects = {call.world.project(each).project_id for each in change.projects}
    return json_response(_account_json(account))


async def _create_key(call: Call) -> Response:
    account = _require_account(call)
    raw = await call.read_bytes()
    wanted = parse_body(raw, PublicKey) if raw else PublicKey()
    if wanted.public_key is None:
        uri = call.base_url + TOKEN_PATH
        return json_response(
            await asyncio.to_thread(call.world.identity.create_key, account, token_uri=uri), status=201
        )
    try:
        key = SigningKey(wanted.private_key_id or new_key_id(), read_public_key(wanted.public_key))
    except ValueError as exc:
        raise ApiError(400, f"public_key: {exc}") from exc
    account.keys[key.key_id] = key
    return json_response({"private_key_id": key.key_id, "client_email": account.email}, status=201)


async def _revoke_key(call: Call) -> Response:
    if _require_account(call).keys.pop(call.request.path_params["key_id"], None) is None:
        raise ApiError(404, "There is no such key.")
    return Response(status_code=204)


async def _list_users(call: Call) -> Response:
    return json_response({"users": [_user_json(each) for each in call.world.identity.users.values()]})


async def _change_user(call: Call) -> Response:
    change = await call.read(UserChange)
    user = User(
        name=change.email,
        client_id=change.client_id,
        client_secret=change.client_secret,
        refresh_token=change.refresh_token,
        state=change.state,
        projects={call.world.project(each).project_id for each in change.projects},
    )
    known = call.world.identity.users.get(change.refresh_token)
    if known is not None:
        user.running, user.watch = known.running, known.watch
    return json_response(_user_json(call.world.identity.add_user(user)))


async def _list_projects(call: Call) -> Response:
    projects = call.world.projects.values()
    return json_response({"projects": [{"project": each.project_id, "state": each.state} for each in projects]})


async def _change_project(call: Call) -> Response:
    change = await call.read(ProjectChange)
    project = call.world.project(change.project)
    project.state = change.state
    return json_response({"project": project.project_id, "state": project.state})


async def _list_buckets(call: Call) -> Response:
    buckets = [
        {"bucket": each.name, "project": each.project, "objects": sorted(each.objects)}
        for each in call.world.storage.buckets.values()
    ]
    return json_response({"buckets": buckets})


async def _add_bucket(call: Call) -> Response:
    change = await call.read(BucketChange)
    project = call.world.project(change.project)
    bucket = call.world.storage.add_bucket(change.bucket, project=project.project_id)
    return json_response({"bucket": bucket.name, "project": bucket.project}, status=201)


async def _list_availability(call: Call) -> Response:
    return json_response({"availability": [each.model_dump() for each in call.world.availability.rules]})


async def _add_availability(call: Call) -> Response:
    rule = await call.read(Availability)
    call.world.availability.add(rule)
    return json_response(rule.model_dump(), status=201)


async def _clear_availability(call: Call) -> Response:
    call.world.availability.clear()
    return Response(status_code=204)


async def _list_quotas(call: Call) -> Response:
    return json_response(call.world.quotas.as_json(call.world.clock.now()))


async def _add_quota(call: Call) -> Response:
    quota = await call.read(Quota)
    call.world.quotas.add(quota)
    return json_response(quota.model_dump(), status=201)


async def _clear_quotas(call: Call) -> Response:
    call.world.quotas.clear()
    return Response(status_code=204)


async def _bill(call: Call) -> Response:
    for credential in call.world.credentials():
        call.world.settle_credential(credential)
    return json_response(call.world.bill.as_json())


async def _set_machine(call: Call) -> Response:
    machine = await call.read(Machine)
    if machine.service_account is not None and machine.service_account not in call.world.identity.service_accounts:
        raise ApiError(404, "There is no such service account.")
    call.world.identity.machine_account = machine.service_account
    return json_response(machine.model_dump())


async def _set_clock_skew(call: Call) -> Response:
    skew = await call.read(ClockSkew)
    call.world.identity.clock_skew_seconds = skew.seconds
    return json_response(skew.model_dump())


GOOGLE_TABLE: list[tuple[str, str, Handler]] = [
    ("GET", "/service-accounts", _list_service_accounts),
    ("POST", "/service-accounts", _change_service_account),
    ("POST", "/service-accounts/{email}/keys", _create_key),
    ("DELETE", "/service-accounts/{email}/keys/{key_id}", _revoke_key),
    ("GET", "/users", _list_users),
    ("POST", "/users", _change_user),
    ("GET", "/projects", _list_projects),
    ("POST", "/projects", _change_project),
    ("GET", "/buckets", _list_buckets),
    ("POST", "/buckets", _add_bucket),
    ("GET", "/availability", _list_availability),
    ("POST", "/availability", _add_availability),
    ("DELETE", "/availability", _clear_availability),
    ("GET", "/quotas", _list_quotas),
    ("POST", "/quotas", _add_quota),
    ("DELETE", "/quotas", _clear_quotas),
    ("GET", "/bill", _bill),
    ("POST", "/metadata", _set_machine),
    ("POST", "/clock-skew", _set_clock_skew),
]


def _require_account(call: Call) -> ServiceAccount:
    account = call.world.identity.service_accounts.get(call.request.path_params["email"])
    if account is None:
        raise ApiError(404, "There is no such service account.")
    return account


def _account_json(account: ServiceAccount) -> dict[str, Any]:
    return {
        "email": account.email,
        "project": account.project,
        "state": account.state,
        "projects": sorted(account.projects),
        "private_key_ids": list(account.keys),
    }


def _user_json(user: User) -> dict[str, Any]:
    return {
        "email": user.name,
        "client_id": user.client_id,
        "state": user.state,
        "projects": sorted(user.projects),
    }
