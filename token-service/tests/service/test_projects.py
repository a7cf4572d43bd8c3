"""Upstream projects of tokens: made, taken in turns, replaced, and administrators' changes to them."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.field_mask_pb2 import FieldMask

from flow2api_common.errors import CapacityError, Conflict, FailedPrecondition, InvalidArgument, NotFound, UpstreamError
from flow2api_common.grpc_client import rpc_errors
from flow2api_common.ids import new_id
from flow2api_proto.access.v1 import access_service_pb2
from flow2api_proto.tokens.v1 import project_service_pb2 as pb
from flow2api_proto.tokens.v1 import token_pb2, token_service_pb2
from flow2api_sandbox.faults import Fault
from flow2api_testing.waiting import eventually

SESSION = "session-token-of-account-0001"
OTHER = "session-token-of-account-0002"


@pytest.fixture
def account(sandbox):
    return sandbox.world.add_account(SESSION, credits=100)


@pytest.fixture
async def token(tokens, account) -> token_pb2.Token:
    return await add(tokens)


async def add(tokens, **fields) -> token_pb2.Token:
    return (await tokens.CreateToken(token_service_pb2.CreateTokenRequest(secret=SESSION, **fields))).token


async def acquire(tokens) -> token_pb2.Credential:
    request = token_service_pb2.AcquireLeaseRequest(
        request_id=new_id(),
        kind=token_pb2.KIND_IMAGE,
        candidates=[token_pb2.LeaseCandidate(provider="flow", upstream_model="m")],
        lease_duration=Duration(seconds=60),
    )
    with rpc_errors("token"):
        return (await tokens.AcquireLease(request)).credential


async def credential(tokens, token, gone="") -> token_pb2.Credential:
    request = token_service_pb2.GetCredentialRequest(token_id=token.token_id, gone_project_id=gone)
    with rpc_errors("token"):
        return (await tokens.GetCredential(request)).credential


async def listed(projects, token) -> list[pb.Project]:
    with rpc_errors("token"):
        return list((await projects.ListProjects(pb.ListProjectsRequest(token_id=token.token_id))).projects)


async def create(projects, token, project_id="", title="") -> pb.Project:
    request = pb.CreateProjectRequest(token_id=token.token_id, project_id=project_id, title=title)
    with rpc_errors("token"):
        return (await projects.CreateProject(request)).project


async def test_token_gets_a_project_when_it_is_added(projects, token, account):
    (project,) = await listed(projects, token)

    assert project.project_id == token.project_id
    assert (project.active, project.current) == (True, True)
    assert project.title == account.projects[project.project_id]


async def test_background_makes_as_many_projects_as_wanted_and_leases_take_turns(start_replica, account):
    async with start_replica(projects_per_token=3) as replica:
        token = await add(replica.tokens)

        async def are_made():
            return len(await listed(replica.projects, token)) == 3

        await eventually(are_made)
        used = [(await acquire(replica.tokens)).project_id for _ in range(6)]

        assert set(used) == set(account.projects)
        assert used[:3] == used[3:]
        assert {(await credential(replica.tokens, token)).project_id for _ in range(3)} == {token.project_id}


async def test_one_project_is_worked_in_unless_the_settings_say_otherwise(tokens, projects, token):
    await create(projects, token)

    assert {(await acquire(tokens)).project_id for _ in range(4)} == {token.project_id}


async def test_replicas_make_a_missing_project_once(start_replica, account, sandbox):
    hour = timedelta(hours=1)
    async with start_replica(refresh_interval=hour) as one, start_replica(refresh_interval=hour) as two:
        token = await add(one.tokens)
        gone = pb.DeleteProjectRequest(token_id=token.token_id, project_id=token.project_id)
        await one.projects.DeleteProject(gone)
        sandbox.world.faults.add(Fault(kind="delay", route="flow.create_project", delay=0.1))

        used = await asyncio.gather(*(acquire(replica.tokens) for replica in (one, two) for _ in range(4)))

        assert len({each.project_id for each in used}) == 1
        assert len(account.projects) == 2


async def test_project_that_cannot_be_made_is_not_tried_by_every_request(start_replica, account, sandbox, clock):
    async with start_replica(refresh_interval=timedelta(hours=1)) as replica:
        token = await add(replica.tokens)
        await replica.projects.DeleteProject(
            pb.DeleteProjectRequest(token_id=token.token_id, project_id=token.project_id)
        )
        fault = sandbox.world.faults.add(Fault(kind="500", route="flow.create_project"))
        for _ in range(3):
            with pytest.raises(UpstreamError):
                await acquire(replica.tokens)
        tried = sandbox.world.ledger.calls["flow.create_project"]
        with pytest.raises(UpstreamError):
            await acquire(replica.tokens)
        assert sandbox.world.ledger.calls["flow.create_project"] == tried

        sandbox.world.faults.remove(fault)
        clock.turned = timedelta(minutes=2)

        assert (await acquire(replica.tokens)).project_id in account.projects


async def test_project_that_is_gone_is_replaced_once_for_all_who_tell(tokens, projects, token, account):
    del account.projects[token.project_id]

    answers = await asyncio.gather(*(credential(tokens, token, gone=token.project_id) for _ in range(5)))

    (project_id,) = {answer.project_id for answer in answers}
    assert [*account.projects] == [project_id]
    assert (await acquire(tokens)).project_id == project_id
    assert [(each.project_id, each.active, each.current) for each in await listed(projects, token)] == [
        (token.project_id, False, False),
        (project_id, True, True),
    ]


async def test_another_active_project_takes_the_place_of_one_that_is_gone(tokens, projects, token, account):
    other = await create(projects, token, title="spare")

    assert (await credential(tokens, token, gone=token.project_id)).project_id == other.project_id
    assert len(account.projects) == 2


async def test_projects_that_vanish_at_once_are_not_made_for_ever(tokens, token, sandbox):
    second = (await credential(tokens, token, gone=token.project_id)).project_id
    made = sandbox.world.ledger.calls["flow.create_project"]

    with pytest.raises(UpstreamError):
        await credential(tokens, token, gone=second)

    assert sandbox.world.ledger.calls["flow.create_project"] == made


async def test_project_that_is_not_the_tokens_changes_nothing(tokens, token):
    assert (await credential(tokens, token, gone="strange")).project_id == token.project_id


async def test_projects_are_added_chosen_and_removed(tokens, projects, token):
    given = await create(projects, token, "given", "mine")
    made = await create(projects, token, title="new")
    assert (given.active, given.current, given.title, made.title) == (True, False, "mine", "new")

    given_key = {"token_id": token.token_id, "project_id": "given"}
    activated = (await projects.ActivateProject(pb.ActivateProjectRequest(**given_key))).project
    assert activated.current
    assert (await acquire(tokens)).project_id == "given"

    left = (await projects.DeactivateProject(pb.DeactivateProjectRequest(**given_key))).project
    assert (left.active, left.current) == (False, False)
    assert (await acquire(tokens)).project_id == token.project_id

    await projects.DeleteProject(pb.DeleteProjectRequest(**given_key))
    assert [each.project_id for each in await listed(projects, token)] == [token.project_id, made.project_id]


async def test_mistakes_are_told(tokens, projects, token, sandbox):
    with pytest.raises(Conflict) as exists:
        await create(projects, token, token.project_id)
    with pytest.raises(NotFound) as no_project, rpc_errors("token"):
        await projects.ActivateProject(pb.ActivateProjectRequest(token_id=token.token_id, project_id="strange"))
    with pytest.raises(NotFound) as no_token:
        await listed(projects, token_pb2.Token(token_id=99))
    with pytest.raises(InvalidArgument) as too_long:
        await create(projects, token, "x" * 201)
    with pytest.raises(InvalidArgument):
        await create(projects, token, "../strange")
    for number in range(19):
        await create(projects, token, f"p-{number}")
    with pytest.raises(CapacityError) as too_many:
        await create(projects, token, "one-more")
    sandbox.world.add_api_key("gemini-key-0123456789")
    gemini = await tokens.CreateToken(
        token_service_pb2.CreateTokenRequest(secret="gemini-key-0123456789", provider="gemini")
    )
    with pytest.raises(FailedPrecondition) as no_projects:
        await create(projects, gemini.token)

    assert [it.value.reason for it in (exists, no_project, no_token, too_many, no_projects)] == [
        "PROJECT_EXISTS",
        "PROJECT_NOT_FOUND",
        "TOKEN_NOT_FOUND",
        "TOO_MANY_PROJECTS",
        "PROVIDER_HAS_NO_PROJECTS",
    ]
    assert too_long.value.violations[0].field == "project_id"


async def test_changes_are_in_the_audit_log(access, projects, token):
    made = await create(projects, token)
    await projects.DeleteProject(pb.DeleteProjectRequest(token_id=token.token_id, project_id=made.project_id))

    entries = (await access.ListAuditLog(access_service_pb2.ListAuditLogRequest())).entries

    assert [(entry.action, entry.target, entry.detail) for entry in entries[:2]] == [
        ("project.delete", f"token/{token.token_id}", made.project_id),
        ("project.create", f"token/{token.token_id}", made.project_id),
    ]


async def test_secret_of_another_account_leaves_the_projects_of_the_first(tokens, projects, token, sandbox):
    other = sandbox.world.add_account(OTHER)
    await tokens.UpdateToken(
        token_service_pb2.UpdateTokenRequest(
            token=token_pb2.Token(token_id=token.token_id), update_mask=FieldMask(paths=["secret"]), secret=OTHER
        )
    )

    active = [each.project_id for each in await listed(projects, token) if each.active]

    assert active == [*other.projects]
    assert (await acquire(tokens)).project_id in other.projects
