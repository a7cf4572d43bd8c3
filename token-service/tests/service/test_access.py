"""API keys and administrators over gRPC."""

from __future__ import annotations

from datetime import timedelta

import pytest
from pydantic import SecretStr

from flow2api_common.errors import CapacityError, Conflict, InvalidArgument, NotFound, Unauthenticated
from flow2api_common.grpc_client import rpc_errors
from flow2api_proto.access.v1 import access_service_pb2 as pb

PASSWORD = "correct horse"


async def authenticate(access, secret) -> pb.ApiKey:
    with rpc_errors("token"):
        return (await access.AuthenticateApiKey(pb.AuthenticateApiKeyRequest(secret=secret))).api_key


async def login(access, password=PASSWORD, username="admin", address="10.0.0.1") -> pb.LoginResponse:
    with rpc_errors("token"):
        return await access.Login(pb.LoginRequest(username=username, password=password, client_address=address))


class TestApiKeys:
    async def test_key_of_the_settings_works(self, access):
        assert (await authenticate(access, "test-key-0123456789")).name == "settings"

    async def test_made_key_works_until_it_is_revoked(self, access):
        made = await access.CreateApiKey(pb.CreateApiKeyRequest(name="mine"))

        key = await authenticate(access, made.secret)
        revoked = await access.RevokeApiKey(pb.RevokeApiKeyRequest(api_key_id=key.api_key_id))
        again = await access.RevokeApiKey(pb.RevokeApiKeyRequest(api_key_id=key.api_key_id))

        assert key == made.api_key
        assert made.secret.startswith(key.prefix)
        assert again.api_key.revoke_time == revoked.api_key.revoke_time
        with pytest.raises(Unauthenticated) as caught:
            await authenticate(access, made.secret)
        assert caught.value.reason == "API_KEY_INVALID"

    @pytest.mark.parametrize("secret", ["", "wrong", "x" * 10_000])
    async def test_stranger_is_refused(self, access, secret):
        with pytest.raises(Unauthenticated):
            await authenticate(access, secret)

    async def test_own_secret_can_be_used_once(self, access):
        request = pb.CreateApiKeyRequest(name="mine", secret="a-secret-of-my-own")
        await access.CreateApiKey(request)

        with pytest.raises(Conflict), rpc_errors("token"):
            await access.CreateApiKey(request)

    @pytest.mark.parametrize(
        "request_",
        [
            {"name": ""},
            {"name": "n", "secret": "short"},
            {"name": "n", "secret": "two words in one key"},
            {"name": "n", "secret": "clé-de-seize-lettres"},
            {"name": "n", "max_concurrency": -2},
        ],
    )
    async def test_wrong_values_are_refused(self, access, request_):
        with pytest.raises(InvalidArgument), rpc_errors("token"):
            await access.CreateApiKey(pb.CreateApiKeyRequest(**request_))

    async def test_list_pages_oldest_first(self, access):
        for name in ("a", "b"):
            await access.CreateApiKey(pb.CreateApiKeyRequest(name=name))

        first = await access.ListApiKeys(pb.ListApiKeysRequest(page_size=2))
        second = await access.ListApiKeys(pb.ListApiKeysRequest(page_size=2, page_token=first.next_page_token))

        assert [key.name for key in first.api_keys] == ["settings", "a"]
        assert [key.name for key in second.api_keys] == ["b"]
        assert not second.next_page_token

    async def test_unknown_key_is_not_found(self, access):
        with pytest.raises(NotFound), rpc_errors("token"):
            await access.GetApiKey(pb.GetApiKeyRequest(api_key_id="key_nobody"))


class TestBootstrap:
    async def test_changed_settings_replace_what_the_old_ones_made(self, start_replica):
        async with start_replica() as replica:
            await authenticate(replica.access, "test-key-0123456789")
        changed = {"api_key": SecretStr("new-key-0123456789"), "admin_password": SecretStr("battery staple")}

        async with start_replica(**changed) as replica:
            await authenticate(replica.access, "new-key-0123456789")
            await login(replica.access, "battery staple")
            with pytest.raises(Unauthenticated):
                await authenticate(replica.access, "test-key-0123456789")
            with pytest.raises(Unauthenticated):
                await login(replica.access)

    async def test_password_that_an_administrator_chose_survives_a_restart(self, start_replica):
        async with start_replica() as replica:
            session = (await login(replica.access)).session_token
            request = pb.ChangePasswordRequest(session_token=session, old_password=PASSWORD, new_password="my own word")
            await replica.access.ChangePassword(request)

        async with start_replica() as replica:
            await login(replica.access, "my own word")
            with pytest.raises(Unauthenticated):
                await login(replica.access)

    async def test_revoked_key_of_the_settings_stays_revoked(self, start_replica):
        async with start_replica() as replica:
            key = await authenticate(replica.access, "test-key-0123456789")
            await replica.access.RevokeApiKey(pb.RevokeApiKeyRequest(api_key_id=key.api_key_id))

        async with start_replica() as replica:
            with pytest.raises(Unauthenticated):
                await authenticate(replica.access, "test-key-0123456789")


class TestLogin:
    async def test_session_works_until_logout(self, access):
        opened = await login(access)

        request = pb.AuthenticateSessionRequest(session_token=opened.session_token)
        checked = await access.AuthenticateSession(request)
        await access.Logout(pb.LogoutRequest(session_token=opened.session_token))
        await access.Logout(pb.LogoutRequest(session_token=opened.session_token))

        assert checked.admin == opened.admin
        assert checked.admin.username == "admin"
        with pytest.raises(Unauthenticated) as caught, rpc_errors("token"):
            await access.AuthenticateSession(request)
        assert caught.value.reason == "SESSION_INVALID"

    async def test_session_ends_by_itself(self, access, clock):
        opened = await login(access)
        clock.turned = timedelta(hours=13)

        with pytest.raises(Unauthenticated), rpc_errors("token"):
            await access.AuthenticateSession(pb.AuthenticateSessionRequest(session_token=opened.session_token))

    @pytest.mark.parametrize(("username", "password"), [("admin", "wrong"), ("nobody", PASSWORD), ("", "")])
    async def test_wrong_login_does_not_tell_why(self, access, username, password):
        with pytest.raises(Unauthenticated) as caught:
            await login(access, password, username)

        assert caught.value.reason == "LOGIN_INVALID"

    async def test_ten_wrong_logins_for_a_name_close_it(self, access):
        for number in range(10):
            with pytest.raises(Unauthenticated):
                await login(access, "wrong", address=f"10.0.0.{number}")

        with pytest.raises(CapacityError) as caught:
            await login(access, address="10.0.1.1")
        assert caught.value.retry_after is not None
        assert 0 < caught.value.retry_after.total_seconds() <= 900

    async def test_ten_wrong_logins_from_an_address_close_it(self, access):
        for number in range(10):
            with pytest.raises(Unauthenticated):
                await login(access, "wrong", username=f"somebody{number}")

        with pytest.raises(CapacityError):
            await login(access)
        await login(access, address="10.9.9.9")

    async def test_addresses_of_one_ipv6_network_count_together(self, access):
        for number in range(10):
            with pytest.raises(Unauthenticated):
                await login(access, "wrong", username=f"somebody{number}", address=f"2001:db8:0:1::{number:x}")

        with pytest.raises(CapacityError):
            await login(access, address="2001:db8:0:1:ffff::1")
        await login(access, address="2001:db8:0:2::1")

    async def test_right_login_forgets_the_wrong_ones(self, access):
        for _ in range(3):
            for _ in range(4):
                with pytest.raises(Unauthenticated):
                    await login(access, "wrong", address="")
            await login(access, address="")

    async def test_new_password_ends_the_other_sessions(self, access):
        mine, other = await login(access), await login(access)
        request = pb.ChangePasswordRequest(
            session_token=mine.session_token, old_password=PASSWORD, new_password="a new password"
        )
        await access.ChangePassword(request)

        await access.AuthenticateSession(pb.AuthenticateSessionRequest(session_token=mine.session_token))
        with pytest.raises(Unauthenticated), rpc_errors("token"):
            await access.AuthenticateSession(pb.AuthenticateSessionRequest(session_token=other.session_token))
        await login(access, "a new password")

    @pytest.mark.parametrize(
        ("old", "new", "error"), [("wrong", "long enough", Unauthenticated), (PASSWORD, "short", InvalidArgument)]
    )
    async def test_password_change_is_refused(self, access, old, new, error):
        session = (await login(access)).session_token
        request = pb.ChangePasswordRequest(session_token=session, old_password=old, new_password=new)

        with pytest.raises(error), rpc_errors("token"):
            await access.ChangePassword(request)
