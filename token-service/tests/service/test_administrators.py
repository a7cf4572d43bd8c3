"""Several administrators, their sessions, and names that outsiders try to close."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from pydantic import SecretStr

from flow2api_common.errors import (
    CapacityError,
    Conflict,
    FailedPrecondition,
    Flow2APIError,
    InvalidArgument,
    NotFound,
    Unauthenticated,
)
from flow2api_common.grpc_client import rpc_errors
from flow2api_proto.access.v1 import access_service_pb2 as pb

PASSWORD = "correct horse"
OTHER = "battery staple"
HOME, ELSEWHERE = "10.0.0.1", "203.0.113.9"


class Client:
    """The calls, with errors of ours."""

    def __init__(self, access: Any) -> None:
        self.access = access

    async def login(
        self, username: str = "admin", password: str = PASSWORD, address: str = HOME, agent: str = ""
    ) -> Any:
        with rpc_errors("token"):
            return await self.access.Login(
                pb.LoginRequest(username=username, password=password, client_address=address, user_agent=agent)
            )

    async def fail_logins(self) -> None:
        for number in range(10):
            with pytest.raises(Unauthenticated):
                await self.login("admin", "wrong", address=f"198.51.100.{number}")

    async def create(self, username: str = "second", password: str = OTHER) -> pb.Admin:
        with rpc_errors("token"):
            return (await self.access.CreateAdmin(pb.CreateAdminRequest(username=username, password=password))).admin

    async def delete(self, admin_id: str) -> None:
        with rpc_errors("token"):
            await self.access.DeleteAdmin(pb.DeleteAdminRequest(admin_id=admin_id))

    async def admins(self) -> list[pb.Admin]:
        return list((await self.access.ListAdmins(pb.ListAdminsRequest())).admins)

    async def sessions(self, **fields: Any) -> list[pb.Session]:
        return list((await self.access.ListSessions(pb.ListSessionsRequest(**fields))).sessions)

    async def check(self, token: str) -> pb.AuthenticateSessionResponse:
        with rpc_errors("token"):
            return await self.access.AuthenticateSession(pb.AuthenticateSessionRequest(session_token=token))

    async def unlock(self, **fields: str) -> None:
        with rpc_errors("token"):
            await self.access.UnlockLogins(pb.UnlockLoginsRequest(**fields))

    async def last_audit(self) -> pb.AuditEntry:
        return (await self.access.ListAuditLog(pb.ListAuditLogRequest(page_size=1))).entries[0]


@pytest.fixture
def client(access: Any) -> Client:
    return Client(access)


class TestAdministrators:
    async def test_second_administrator_logs_in(self, client):
        made = await client.create()
        opened = await client.login("second", "battery staple")
        assert opened.admin == made
        assert [admin.username for admin in await client.admins()] == ["admin", "second"]

    async def test_list_pages(self, client, access):
        await client.create()
        first = await access.ListAdmins(pb.ListAdminsRequest(page_size=1))
        second = await access.ListAdmins(pb.ListAdminsRequest(page_size=1, page_token=first.next_page_token))
        assert [admin.username for admin in (*first.admins, *second.admins)] == ["admin", "second"]
        assert not second.next_page_token

    async def test_name_is_taken_once(self, client):
        await client.create()
        with pytest.raises(Conflict) as caught:
            await client.create()
        assert caught.value.reason == "ADMIN_EXISTS"

    @pytest.mark.parametrize(
        ("username", "password", "field"),
        [
            ("", "battery staple", "username"),
            (" padded", "battery staple", "username"),
            ("x" * 101, "battery staple", "username"),
            ("new\nline", "battery staple", "username"),
            ("second", "short", "password"),
            ("second", "x" * 1025, "password"),
        ],
    )
    async def test_wrong_values_name_their_field(self, client, username, password, field):
        with pytest.raises(InvalidArgument) as caught:
            await client.create(username, password)
        assert [violation.field for violation in caught.value.violations] == [field]

    async def test_removed_administrator_is_out_at_once(self, client):
        made = await client.create()
        session = (await client.login("second", "battery staple")).session_token
        await client.delete(made.admin_id)
        with pytest.raises(Unauthenticated):
            await client.check(session)
        with pytest.raises(Unauthenticated):
            await client.login("second", "battery staple")
        with pytest.raises(NotFound) as caught:
            await client.delete(made.admin_id)
        assert caught.value.reason == "ADMIN_NOT_FOUND"
        assert (await client.last_audit()).outcome == "ADMIN_NOT_FOUND"

    async def test_removed_name_can_be_given_again(self, client):
        await client.delete((await client.create()).admin_id)
        await client.create("second", "another word")
        await client.login("second", "another word")

    async def test_last_one_stays(self, client):
        (only,) = await client.admins()
        with pytest.raises(FailedPrecondition) as caught:
            await client.delete(only.admin_id)
        assert caught.value.reason == "LAST_ADMIN"
        await client.login()

    async def test_of_two_that_remove_each_other_one_stays(self, client):
        await client.create()
        ids = [admin.admin_id for admin in await client.admins()]
        results = await asyncio.gather(*map(client.delete, ids), return_exceptions=True)
        assert sorted(isinstance(result, Flow2APIError) for result in results) == [False, True]
        assert len(await client.admins()) == 1

    async def test_administrator_of_the_settings_stays_removed_until_the_setting_changes(self, start_replica):
        async with start_replica() as replica:
            client = Client(replica.access)
            await client.create()
            (first, _) = await client.admins()
            await client.delete(first.admin_id)
        async with start_replica() as replica:
            assert [admin.username for admin in await Client(replica.access).admins()] == ["second"]
        async with start_replica(admin_password=SecretStr("brand new word")) as replica:
            await Client(replica.access).login(password="brand new word")

    async def test_reset_password_ends_the_sessions(self, client, access):
        made = await client.create()
        session = (await client.login("second", "battery staple")).session_token
        await access.ResetAdminPassword(
            pb.ResetAdminPasswordRequest(admin_id=made.admin_id, new_password="brand new word")
        )
        with pytest.raises(Unauthenticated):
            await client.check(session)
        await client.login("second", "brand new word")

    async def test_everything_is_in_the_audit_log_without_passwords(self, client, access):
        made = await client.create()
        await access.ResetAdminPassword(
            pb.ResetAdminPasswordRequest(admin_id=made.admin_id, new_password="brand new word")
        )
        opened = await client.login("second", "brand new word")
        await access.Logout(pb.LogoutRequest(session_token=opened.session_token))
        await client.delete(made.admin_id)
        await client.unlock(username="second")
        entries = (await access.ListAuditLog(pb.ListAuditLogRequest())).entries
        assert [entry.action for entry in reversed(entries)] == [
            "admin.create",
            "admin.reset_password",
            "admin.login",
            "admin.logout",
            "admin.delete",
            "admin.unlock_logins",
        ]
        assert all(entry.outcome == "ok" for entry in entries)
        assert not any(word in str(entries) for word in ("battery staple", "brand new word", opened.session_token))


class TestSessions:
    async def test_say_who_when_and_from_where(self, client):
        opened = await client.login(agent="Firefox\x1b[31m" + "x" * 500)
        (session,) = await client.sessions()
        assert session.admin.username == "admin"
        assert session.client_address == HOME
        assert session.user_agent.startswith("Firefox[31m")
        assert len(session.user_agent) == 200
        assert session.expire_time == opened.expire_time
        assert session.session_id == (await client.check(opened.session_token)).session_id
        assert opened.session_token not in str(session)

    async def test_newest_first_in_pages(self, client, access):
        for number in range(3):
            await client.login(agent=str(number))
        first = await access.ListSessions(pb.ListSessionsRequest(page_size=2))
        rest = await access.ListSessions(pb.ListSessionsRequest(page_size=2, page_token=first.next_page_token))
        assert [session.user_agent for session in (*first.sessions, *rest.sessions)] == ["2", "1", "0"]
        with pytest.raises(InvalidArgument), rpc_errors("token"):
            await access.ListSessions(pb.ListSessionsRequest(page_token="session_nobody"))

    async def test_one_is_ended_alone(self, client, access):
        mine, other = await client.login(agent="mine"), await client.login(agent="other")
        (session,) = (each for each in await client.sessions() if each.user_agent == "other")
        await access.RevokeSession(pb.RevokeSessionRequest(session_id=session.session_id))
        await client.check(mine.session_token)
        with pytest.raises(Unauthenticated):
            await client.check(other.session_token)
        with pytest.raises(NotFound) as caught, rpc_errors("token"):
            await access.RevokeSession(pb.RevokeSessionRequest(session_id=session.session_id))
        assert caught.value.reason == "SESSION_NOT_FOUND"

    async def test_all_are_ended_but_the_one_that_asks(self, client, access):
        await client.create()
        mine = await client.login()
        others = [await client.login(), await client.login("second", "battery staple")]
        kept = (await client.check(mine.session_token)).session_id
        answer = await access.RevokeSessions(pb.RevokeSessionsRequest(except_session_id=kept))
        assert answer.session_count == 2
        await client.check(mine.session_token)
        for opened in others:
            with pytest.raises(Unauthenticated):
                await client.check(opened.session_token)

    async def test_those_of_one_administrator_are_ended(self, client, access):
        made = await client.create()
        mine, theirs = await client.login(), await client.login("second", "battery staple")
        assert len(await client.sessions(admin_id=made.admin_id)) == 1
        await access.RevokeSessions(pb.RevokeSessionsRequest(admin_id=made.admin_id))
        await client.check(mine.session_token)
        with pytest.raises(Unauthenticated):
            await client.check(theirs.session_token)


class TestLockOut:
    async def test_outsiders_do_not_close_a_name_where_it_is_at_home(self, client, access):
        opened = await client.login(address=HOME)
        await client.fail_logins()
        with pytest.raises(CapacityError):
            await client.login(address=ELSEWHERE)
        await client.login(address=HOME)
        await client.check(opened.session_token)
        change = pb.ChangePasswordRequest(
            session_token=opened.session_token, old_password=PASSWORD, new_password="brand new word"
        )
        await access.ChangePassword(change)

    async def test_unlock_opens_a_name(self, client):
        await client.fail_logins()
        await client.unlock(username="admin")
        await client.login(address=ELSEWHERE)

    async def test_unlock_of_nothing_is_refused(self, client):
        with pytest.raises(InvalidArgument):
            await client.unlock()
