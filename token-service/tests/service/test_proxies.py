"""Proxies over gRPC: administration, which token goes through which, and how one that fails comes back."""

from __future__ import annotations

import asyncio
import sqlite3
from collections import Counter
from contextlib import suppress
from datetime import timedelta

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.field_mask_pb2 import FieldMask

from flow2api_common.errors import Conflict, InvalidArgument, NotFound, UpstreamUnavailable
from flow2api_common.grpc_client import rpc_errors
from flow2api_common.ids import new_id
from flow2api_proto.access.v1 import access_service_pb2
from flow2api_proto.tokens.v1 import proxy_service_pb2 as proxy_pb
from flow2api_proto.tokens.v1 import token_pb2
from flow2api_proto.tokens.v1 import token_service_pb2 as pb
from flow2api_testing.waiting import eventually
from flow2api_token_service.settings import ProxyStrategy

PASSWORD = "hidden-password-0001"
QUICK = {"proxy_first_pause": timedelta(milliseconds=50), "proxy_longest_pause": timedelta(milliseconds=100)}
FLOW = token_pb2.LeaseCandidate(provider="flow", upstream_model="m")


async def add_proxy(proxies, url, **fields) -> proxy_pb.Proxy:
    with rpc_errors("token"):
        return (await proxies.CreateProxy(proxy_pb.CreateProxyRequest(url=url, **fields))).proxy


async def read_proxy(proxies, proxy_id) -> proxy_pb.Proxy:
    with rpc_errors("token"):
        return (await proxies.GetProxy(proxy_pb.GetProxyRequest(proxy_id=proxy_id))).proxy


async def list_proxies(proxies) -> list[proxy_pb.Proxy]:
    return list((await proxies.ListProxies(proxy_pb.ListProxiesRequest())).proxies)


async def has_state(proxies, proxy_id, state) -> bool:
    return (await read_proxy(proxies, proxy_id)).state == state


async def set_aside(replica, server, proxy_id) -> None:
    """Stop the server, tell that a call has failed, and wait until a check has seen it."""
    await server.stop()
    token_id = (await replica.tokens.ListTokens(pb.ListTokensRequest(page_size=1))).tokens[0].token_id
    with suppress(grpc.aio.AioRpcError):
        await replica.tokens.GetCredential(pb.GetCredentialRequest(token_id=token_id, failed_proxy_id=proxy_id))
    await eventually(lambda: _is_confirmed(replica.proxies, proxy_id))


async def _is_confirmed(proxies, proxy_id) -> bool:
    proxy = await read_proxy(proxies, proxy_id)
    return proxy.state == proxy_pb.PROXY_STATE_SUSPECT and proxy.consecutive_failure_count > 1


async def add_token(replica, sandbox, number, **fields) -> token_pb2.Token:
    session = f"session-token-of-account-{number:04}"
    sandbox.world.add_account(session, credits=100)
    with rpc_errors("token"):
        return (await replica.tokens.CreateToken(pb.CreateTokenRequest(secret=session, **fields))).token


async def lease(replica, token_id=0, **fields) -> pb.AcquireLeaseResponse:
    candidate = token_pb2.LeaseCandidate(provider="flow", upstream_model="m", affinity_token_id=token_id)
    request = pb.AcquireLeaseRequest(
        request_id=new_id(),
        kind=token_pb2.KIND_IMAGE,
        candidates=[candidate],
        lease_duration=Duration(seconds=60),
        **fields,
    )
    with rpc_errors("token"):
        return await replica.tokens.AcquireLease(request, timeout=30)


async def release(replica, lease, outcome, **fields) -> None:
    with rpc_errors("token"):
        await replica.tokens.ReleaseLease(
            pb.ReleaseLeaseRequest(lease=lease, outcome=token_pb2.LeaseOutcome(outcome=outcome, **fields))
        )


async def proxy_of(replica, token_id) -> int:
    return (await lease(replica, token_id)).credential.proxy_id


class TestAdministration:
    async def test_proxy_is_shown_without_its_login(self, proxies):
        proxy = await add_proxy(proxies, f"socks5://user:{PASSWORD}@127.0.0.1:9", name="home", remark="in the cellar")

        assert (proxy.scheme, proxy.host, proxy.port, proxy.has_credentials) == ("socks5", "127.0.0.1", 9, True)
        assert (proxy.name, proxy.remark, proxy.enabled) == ("home", "in the cellar", True)
        assert (await list_proxies(proxies))[0].proxy_id == proxy.proxy_id
        assert PASSWORD not in str(await list_proxies(proxies))

    async def test_same_address_is_refused_the_second_time(self, proxies):
        await add_proxy(proxies, "http://u:p@proxy.example:80")
        with pytest.raises(Conflict) as raised:
            await add_proxy(proxies, "HTTP://u:p@PROXY.example:80/")
        assert raised.value.reason == "PROXY_EXISTS"
        await add_proxy(proxies, "http://v:p@proxy.example:80")

    async def test_import_gives_each_address_a_result(self, proxies):
        urls = [
            "http://one.example:80",
            "ftp://two.example:21",
            "http://one.example:80/",
            f"http://u:{PASSWORD}@three.example",
        ]
        answer = await proxies.ImportProxies(proxy_pb.ImportProxiesRequest(urls=urls))

        added, exists, failed = pb.IMPORT_STATUS_ADDED, pb.IMPORT_STATUS_EXISTS, pb.IMPORT_STATUS_FAILED
        assert [result.status for result in answer.results] == [added, failed, exists, failed]
        assert answer.results[0].proxy_id == answer.results[2].proxy_id > 0
        assert "scheme" in answer.results[1].message
        assert "port" in answer.results[3].message
        assert PASSWORD not in str(answer)
        assert len(await list_proxies(proxies)) == 1

    async def test_wrong_fields_are_named(self, proxies):
        with pytest.raises(InvalidArgument) as raised:
            await add_proxy(proxies, "nonsense")
        assert raised.value.violations[0].field == "url"
        with pytest.raises(InvalidArgument) as raised:
            await add_proxy(proxies, "http://proxy.example:80", name="n" * 101)
        assert raised.value.violations[0].field == "name"

    async def test_update_changes_what_the_mask_names(self, proxies):
        proxy = await add_proxy(proxies, "http://one.example:80", name="one", remark="old")
        request = proxy_pb.UpdateProxyRequest(
            proxy=proxy_pb.Proxy(proxy_id=proxy.proxy_id, name="two", remark="not this"),
            update_mask=FieldMask(paths=["name", "url"]),
            url=f"socks5h://u:{PASSWORD}@two.example:1080",
        )
        changed = (await proxies.UpdateProxy(request)).proxy
        assert (changed.scheme, changed.host, changed.port) == ("socks5h", "two.example", 1080)
        assert (changed.name, changed.remark, changed.has_credentials) == ("two", "old", True)

    async def test_unknown_proxy_is_not_found(self, proxies):
        calls = [
            proxies.GetProxy(proxy_pb.GetProxyRequest(proxy_id=99)),
            proxies.DeleteProxy(proxy_pb.DeleteProxyRequest(proxy_id=99)),
            proxies.EnableProxy(proxy_pb.EnableProxyRequest(proxy_id=99)),
            proxies.DisableProxy(proxy_pb.DisableProxyRequest(proxy_id=99)),
            proxies.CheckProxy(proxy_pb.CheckProxyRequest(proxy_id=99)),
        ]
        for call in calls:
            with pytest.raises(NotFound), rpc_errors("token"):
                await call

    async def test_every_change_is_in_the_audit_log(self, proxies, access, start_proxy):
        server = await start_proxy(user="u", password=PASSWORD)
        proxy_id = (await add_proxy(proxies, server.url)).proxy_id
        await proxies.DisableProxy(proxy_pb.DisableProxyRequest(proxy_id=proxy_id))
        await proxies.EnableProxy(proxy_pb.EnableProxyRequest(proxy_id=proxy_id))
        await proxies.CheckProxy(proxy_pb.CheckProxyRequest(proxy_id=proxy_id))
        await proxies.ImportProxies(proxy_pb.ImportProxiesRequest(urls=[server.url]))
        await proxies.DeleteProxy(proxy_pb.DeleteProxyRequest(proxy_id=proxy_id))

        entries = (await access.ListAuditLog(access_service_pb2.ListAuditLogRequest())).entries
        actions = [entry.action for entry in reversed(entries) if entry.action.startswith("proxy.")]
        assert actions == [f"proxy.{verb}" for verb in ("create", "disable", "enable", "check", "import", "delete")]
        assert PASSWORD not in str(entries)


class TestSticky:
    async def test_tokens_are_spread_evenly_and_keep_their_proxy_over_a_restart(
        self, start_replica, sandbox, start_proxy
    ):
        servers = [await start_proxy(scheme) for scheme in ("http", "socks5", "http")]
        async with start_replica() as replica:
            ids = [(await add_proxy(replica.proxies, server.url)).proxy_id for server in servers]
            added = await asyncio.gather(*(add_token(replica, sandbox, number) for number in range(6)))
            before = {token.token_id: await proxy_of(replica, token.token_id) for token in added}
            assert [await proxy_of(replica, token.token_id) for token in added] == list(before.values())
            assert [proxy.token_count for proxy in await list_proxies(replica.proxies)] == [2, 2, 2]
        async with start_replica() as replica:
            after = {token_id: await proxy_of(replica, token_id) for token_id in before}
        assert after == before
        assert set(before.values()) == set(ids)

    async def test_tokens_that_were_there_first_are_spread_when_they_are_used(self, replica, sandbox, start_proxy):
        tokens = [await add_token(replica, sandbox, number) for number in range(4)]
        assert (await lease(replica, tokens[0].token_id)).credential.proxy_url == ""
        for _ in range(2):
            await add_proxy(replica.proxies, (await start_proxy()).url)

        chosen = await asyncio.gather(*(proxy_of(replica, token.token_id) for token in tokens))

        assert sorted(Counter(chosen).values()) == [2, 2]

    async def test_refresh_and_probe_go_over_the_tokens_proxy(self, replica, sandbox, start_proxy):
        first, second = await start_proxy(), await start_proxy("socks5", user="u", password=PASSWORD)
        proxy_ids = [(await add_proxy(replica.proxies, server.url)).proxy_id for server in (first, second)]
        await eventually(lambda: first.call_count and second.call_count)
        token = await add_token(replica, sandbox, 1)
        other = await add_token(replica, sandbox, 2)
        assert [await proxy_of(replica, each.token_id) for each in (token, other)] == proxy_ids
        counts = first.call_count, second.call_count

        await replica.tokens.RefreshToken(pb.RefreshTokenRequest(token_id=token.token_id))

        assert first.call_count > counts[0]
        assert second.call_count == counts[1]

    async def test_failing_proxy_loses_its_tokens_and_gets_none_back(self, start_replica, sandbox, start_proxy):
        servers = [await start_proxy(), await start_proxy()]
        async with start_replica(**QUICK) as replica:
            proxy_ids = [(await add_proxy(replica.proxies, server.url)).proxy_id for server in servers]
            tokens = [await add_token(replica, sandbox, number) for number in range(2)]
            assert [await proxy_of(replica, token.token_id) for token in tokens] == proxy_ids

            await set_aside(replica, servers[0], proxy_ids[0])
            await eventually(lambda: _goes_over(replica, tokens[0], proxy_ids[1]))
            await servers[0].start()
            await eventually(lambda: has_state(replica.proxies, proxy_ids[0], proxy_pb.PROXY_STATE_ACTIVE))

            assert [await proxy_of(replica, token.token_id) for token in tokens] == [proxy_ids[1]] * 2
            third = await add_token(replica, sandbox, 3)
            assert await proxy_of(replica, third.token_id) == proxy_ids[0]

    async def test_single_lost_call_does_not_move_a_token(self, start_replica, sandbox, start_proxy):
        servers = [await start_proxy(), await start_proxy()]
        async with start_replica() as replica:
            proxy_ids = [(await add_proxy(replica.proxies, server.url)).proxy_id for server in servers]
            token = await add_token(replica, sandbox, 1)
            held = await lease(replica, token.token_id)

            outcome = token_pb2.OUTCOME_PROXY_FAILED
            await release(replica, held.lease, outcome, proxy_id=proxy_ids[0], upstream_reason="curl_97")
            await eventually(lambda: has_state(replica.proxies, proxy_ids[0], proxy_pb.PROXY_STATE_ACTIVE))

            assert await proxy_of(replica, token.token_id) == proxy_ids[0]
            assert [proxy.token_count for proxy in await list_proxies(replica.proxies)] == [1, 0]

    async def test_deleted_and_disabled_proxies_hand_their_tokens_on(self, replica, sandbox, start_proxy):
        proxy_ids = [(await add_proxy(replica.proxies, (await start_proxy()).url)).proxy_id for _ in range(3)]
        token = await add_token(replica, sandbox, 1)
        await replica.proxies.DeleteProxy(proxy_pb.DeleteProxyRequest(proxy_id=proxy_ids[0]))
        assert await proxy_of(replica, token.token_id) == proxy_ids[1]
        await replica.proxies.DisableProxy(proxy_pb.DisableProxyRequest(proxy_id=proxy_ids[1]))
        assert await proxy_of(replica, token.token_id) == proxy_ids[2]

    async def test_two_replicas_give_a_token_the_same_proxy(self, start_replica, sandbox, start_proxy):
        servers = [await start_proxy(), await start_proxy(), await start_proxy()]
        async with start_replica(**QUICK) as one, start_replica(**QUICK) as two:
            ids = [(await add_proxy(one.proxies, server.url)).proxy_id for server in servers]
            tokens = [await add_token(one, sandbox, number) for number in range(3)]
            await eventually(lambda: _goes_over(two, tokens[0], ids[0]))
            await set_aside(one, servers[0], ids[0])

            both = await asyncio.gather(*(proxy_of(each, tokens[0].token_id) for each in (one, two) for _ in range(5)))
            await eventually(lambda: _same_proxy(one, two, tokens[0]))

            assert ids[0] not in both[:5]
            await servers[0].start()
            await eventually(lambda: has_state(two.proxies, ids[0], proxy_pb.PROXY_STATE_ACTIVE))
            assert await _same_proxy(one, two, tokens[0])


async def _goes_over(replica, token, proxy_id) -> bool:
    return await proxy_of(replica, token.token_id) == proxy_id


async def _same_proxy(one, two, token) -> bool:
    return await proxy_of(one, token.token_id) == await proxy_of(two, token.token_id)


class TestRotate:
    async def test_each_lease_gets_the_next_proxy(self, start_replica, sandbox, start_proxy):
        async with start_replica(proxy_strategy=ProxyStrategy.ROTATE) as replica:
            ids = [(await add_proxy(replica.proxies, (await start_proxy()).url)).proxy_id for _ in range(3)]
            token = await add_token(replica, sandbox, 1)
            used = Counter([await proxy_of(replica, token.token_id) for _ in range(9)])
        assert used == Counter(dict.fromkeys(ids, 3))

    async def test_what_is_done_during_a_lease_goes_over_its_proxy(self, start_replica, sandbox, start_proxy):
        async with start_replica(proxy_strategy=ProxyStrategy.ROTATE) as replica:
            for _ in range(3):
                await add_proxy(replica.proxies, (await start_proxy()).url)
            token = await add_token(replica, sandbox, 1)
            held = await lease(replica, token.token_id)
            request = pb.GetCredentialRequest(token_id=token.token_id)
            asked = [(await replica.tokens.GetCredential(request)).credential.proxy_id for _ in range(3)]
        assert set(asked) == {held.credential.proxy_id}


class TestOwnProxy:
    async def test_wins_and_is_shown_without_its_login(self, replica, sandbox, start_proxy):
        shared = await start_proxy()
        own = await start_proxy("socks5h", user="me", password=PASSWORD)
        proxy_id = (await add_proxy(replica.proxies, shared.url)).proxy_id
        token = await add_token(replica, sandbox, 1, proxy_url=own.url)

        held = await lease(replica, token.token_id)

        assert (held.credential.proxy_url, held.credential.proxy_id) == (own.url, 0)
        assert token.own_proxy == f"socks5h://127.0.0.1:{own.port}"
        assert own.call_count > 0
        request = pb.UpdateTokenRequest(
            token=token_pb2.Token(token_id=token.token_id), update_mask=FieldMask(paths=["proxy_url"])
        )
        assert (await replica.tokens.UpdateToken(request)).token.own_proxy == ""
        assert await proxy_of(replica, token.token_id) == proxy_id

    async def test_travels_in_an_export(self, replica, sandbox, start_proxy):
        own = await start_proxy("socks5", user="me", password=PASSWORD)
        token = await add_token(replica, sandbox, 1, proxy_url=own.url)
        passphrase = "a long passphrase"
        exported = await replica.tokens.ExportTokens(pb.ExportTokensRequest(passphrase=passphrase))
        await replica.tokens.DeleteToken(pb.DeleteTokenRequest(token_id=token.token_id))

        request = pb.ImportTokensRequest(sealed=exported.sealed, passphrase=passphrase)
        (result,) = (await replica.tokens.ImportTokens(request)).results

        assert PASSWORD not in exported.sealed
        assert (await lease(replica, result.token_id)).credential.proxy_url == own.url

    async def test_its_failures_are_the_tokens(self, replica, sandbox, start_proxy):
        own = await start_proxy()
        token = await add_token(replica, sandbox, 1, proxy_url=own.url)
        held = await lease(replica, token.token_id)
        await release(replica, held.lease, token_pb2.OUTCOME_PROXY_FAILED, upstream_reason="curl_7")

        async def error_count() -> int:
            answer = await replica.tokens.GetToken(pb.GetTokenRequest(token_id=token.token_id))
            return answer.token.stats.consecutive_error_count

        assert await eventually(error_count) == 1

    async def test_wrong_address_names_the_field(self, replica, sandbox):
        with pytest.raises(InvalidArgument) as raised:
            await add_token(replica, sandbox, 1, proxy_url="nonsense")
        assert raised.value.violations[0].field == "proxy_url"


class TestHealth:
    async def test_failure_of_a_call_counts_against_the_proxy_and_not_the_token(
        self, start_replica, sandbox, start_proxy
    ):
        server = await start_proxy()
        async with start_replica(proxy_check_interval=timedelta(hours=1)) as replica:
            proxy_id = (await add_proxy(replica.proxies, server.url)).proxy_id
            token = await add_token(replica, sandbox, 1)
            await server.stop()
            for _ in range(4):
                held = await lease(replica, token.token_id)
                outcome = token_pb2.OUTCOME_PROXY_FAILED
                await release(replica, held.lease, outcome, proxy_id=proxy_id, upstream_reason="curl_7")
                if not await has_state(replica.proxies, proxy_id, proxy_pb.PROXY_STATE_ACTIVE):
                    break

            proxy = await eventually(lambda: _confirmed(replica.proxies, proxy_id))
            assert proxy.state_reason == "curl_7"
            # The failures that calls report move the state, or the check that they ask for does: at its own time then.
            assert proxy.check_time.ToDatetime() >= proxy.state_time.ToDatetime()
            now = (await replica.tokens.GetToken(pb.GetTokenRequest(token_id=token.token_id))).token
            assert (now.state, now.stats.error_count) == (token_pb2.TOKEN_STATE_ACTIVE, 0)

    async def test_dead_proxy_is_found_by_the_background_and_comes_back(self, start_replica, start_proxy):
        server = await start_proxy("socks5", user="u", password=PASSWORD)
        async with start_replica(proxy_check_interval=timedelta(milliseconds=50), **QUICK) as replica:
            proxy_id = (await add_proxy(replica.proxies, server.url)).proxy_id
            proxy = await eventually(lambda: _checked(replica.proxies, proxy_id))
            assert proxy.HasField("latency")
            await server.stop()
            await eventually(lambda: has_state(replica.proxies, proxy_id, proxy_pb.PROXY_STATE_SUSPECT))
            await server.start()
            await eventually(lambda: has_state(replica.proxies, proxy_id, proxy_pb.PROXY_STATE_ACTIVE))
            assert (await read_proxy(replica.proxies, proxy_id)).consecutive_failure_count == 0

    async def test_check_now_tells_whether_it_passed(self, proxies, start_proxy):
        server = await start_proxy()
        proxy_id = (await add_proxy(proxies, server.url)).proxy_id
        assert (await proxies.CheckProxy(proxy_pb.CheckProxyRequest(proxy_id=proxy_id))).passed
        await server.stop()
        answer = await proxies.CheckProxy(proxy_pb.CheckProxyRequest(proxy_id=proxy_id))
        assert not answer.passed
        assert answer.proxy.state == proxy_pb.PROXY_STATE_SUSPECT
        await server.start()
        assert (await proxies.CheckProxy(proxy_pb.CheckProxyRequest(proxy_id=proxy_id))).passed
        assert await has_state(proxies, proxy_id, proxy_pb.PROXY_STATE_ACTIVE)

    async def test_wrong_password_is_found_by_a_check(self, proxies, start_proxy):
        server = await start_proxy(user="u", password=PASSWORD)
        proxy_id = (await add_proxy(proxies, server.url.replace(PASSWORD, "wrong"))).proxy_id
        answer = await proxies.CheckProxy(proxy_pb.CheckProxyRequest(proxy_id=proxy_id))
        assert (answer.passed, answer.proxy.state_reason) == (False, "proxy_login")

    async def test_due_check_is_made_once_over_several_replicas(self, start_replica, start_proxy, clock):
        server = await start_proxy()
        settings = {"proxy_check_interval": timedelta(hours=1)}
        async with start_replica(**settings) as one, start_replica(**settings), start_replica(**settings):
            proxy_id = (await add_proxy(one.proxies, server.url)).proxy_id
            first = await eventually(lambda: _checked(one.proxies, proxy_id))
            for _ in range(2):
                before = server.call_count
                clock.turned += timedelta(hours=2)
                last = first.last_check_time.ToDatetime()
                await eventually(lambda last=last: _checked_after(one.proxies, proxy_id, last))
                first = await read_proxy(one.proxies, proxy_id)
                assert server.call_count == before + 1

    async def test_call_lost_on_the_way_has_the_proxy_checked_and_the_token_blamed(
        self, start_replica, sandbox, start_proxy
    ):
        server = await start_proxy()
        async with start_replica(proxy_check_interval=timedelta(hours=1)) as replica:
            proxy_id = (await add_proxy(replica.proxies, server.url)).proxy_id
            checked = await eventually(lambda: _checked(replica.proxies, proxy_id))
            token = await add_token(replica, sandbox, 1)
            held = await lease(replica, token.token_id)
            await release(replica, held.lease, token_pb2.OUTCOME_NETWORK_ERROR, proxy_id=proxy_id)

            last = checked.last_check_time.ToDatetime()
            await eventually(lambda: _checked_after(replica.proxies, proxy_id, last))
            assert await has_state(replica.proxies, proxy_id, proxy_pb.PROXY_STATE_ACTIVE)
            now = (await replica.tokens.GetToken(pb.GetTokenRequest(token_id=token.token_id))).token
            assert now.stats.consecutive_error_count == 1

    async def test_proxy_that_hangs_does_not_hold_up_the_checks_of_others(self, start_replica, start_proxy):
        hanging, other = await start_proxy("socks5"), await start_proxy()
        hanging.hangs = True
        settings = {"proxy_check_timeout": timedelta(minutes=5), "proxy_check_interval": timedelta(milliseconds=20)}
        async with start_replica(**settings) as replica:
            hanging_id = (await add_proxy(replica.proxies, hanging.url)).proxy_id
            proxy_id = (await add_proxy(replica.proxies, other.url)).proxy_id
            first = await eventually(lambda: _checked(replica.proxies, proxy_id))
            last = first.last_check_time.ToDatetime()
            await eventually(lambda: _checked_after(replica.proxies, proxy_id, last))
            assert not (await read_proxy(replica.proxies, hanging_id)).HasField("last_check_time")

    async def test_disabled_proxy_is_not_checked(self, start_replica, start_proxy):
        server, other = await start_proxy(), await start_proxy()
        async with start_replica(proxy_check_interval=timedelta(milliseconds=20)) as replica:
            proxy_id = (await add_proxy(replica.proxies, server.url)).proxy_id
            await replica.proxies.DisableProxy(proxy_pb.DisableProxyRequest(proxy_id=proxy_id))
            count = server.call_count
            await add_proxy(replica.proxies, other.url)
            await eventually(lambda: other.call_count >= 2)
            assert server.call_count <= count + 1


async def _confirmed(proxies, proxy_id) -> proxy_pb.Proxy | None:
    proxy = await read_proxy(proxies, proxy_id)
    return proxy if await _is_confirmed(proxies, proxy_id) else None


async def _checked(proxies, proxy_id) -> proxy_pb.Proxy | None:
    proxy = await read_proxy(proxies, proxy_id)
    return proxy if proxy.HasField("last_check_time") else None


async def _checked_after(proxies, proxy_id, time) -> bool:
    return (await read_proxy(proxies, proxy_id)).last_check_time.ToDatetime() > time


class TestWithoutAnyThatWorks:
    async def test_leases_are_refused_rather_than_sent_direct(self, start_replica, sandbox, start_proxy):
        server = await start_proxy()
        async with start_replica(**QUICK) as replica:
            proxy_id = (await add_proxy(replica.proxies, server.url)).proxy_id
            token = await add_token(replica, sandbox, 1)
            await set_aside(replica, server, proxy_id)

            with pytest.raises(UpstreamUnavailable) as raised:
                await lease(replica, token.token_id, wait_timeout=Duration(seconds=20))
            assert raised.value.reason == "NO_PROXY"
            assert raised.value.retry_after
            with pytest.raises(UpstreamUnavailable):
                await add_token(replica, sandbox, 2)
            now = (await replica.tokens.GetToken(pb.GetTokenRequest(token_id=token.token_id))).token
            assert (now.state, now.image_leases) == (token_pb2.TOKEN_STATE_ACTIVE, 0)

            await server.start()
            answer = await eventually(lambda: lease(replica, token.token_id))
            assert answer.credential.proxy_id == proxy_id

    async def test_token_with_its_own_proxy_still_serves(self, start_replica, sandbox, start_proxy):
        server, own = await start_proxy(), await start_proxy()
        async with start_replica(**QUICK) as replica:
            proxy_id = (await add_proxy(replica.proxies, server.url)).proxy_id
            for number in range(3):
                await add_token(replica, sandbox, number)
            private = await add_token(replica, sandbox, 9, proxy_url=own.url)
            await set_aside(replica, server, proxy_id)
            assert (await lease(replica)).lease.token_id == private.token_id

    async def test_setting_lets_them_go_direct(self, start_replica, sandbox, start_proxy):
        server = await start_proxy()
        async with start_replica(proxy_allow_direct=True, **QUICK) as replica:
            proxy_id = (await add_proxy(replica.proxies, server.url)).proxy_id
            token = await add_token(replica, sandbox, 1)
            await set_aside(replica, server, proxy_id)
            assert (await lease(replica, token.token_id)).credential.proxy_url == ""

    async def test_switched_off_proxies_do_not_mean_direct(self, replica, sandbox, start_proxy):
        proxy_id = (await add_proxy(replica.proxies, (await start_proxy()).url)).proxy_id
        token = await add_token(replica, sandbox, 1)
        await replica.proxies.DisableProxy(proxy_pb.DisableProxyRequest(proxy_id=proxy_id))
        with pytest.raises(UpstreamUnavailable):
            await lease(replica, token.token_id)
        await replica.proxies.DeleteProxy(proxy_pb.DeleteProxyRequest(proxy_id=proxy_id))
        assert (await lease(replica, token.token_id)).credential.proxy_url == ""

    async def test_strategy_none_uses_no_proxy(self, start_replica, sandbox, start_proxy):
        server = await start_proxy()
        async with start_replica(proxy_strategy=ProxyStrategy.NONE) as replica:
            await add_proxy(replica.proxies, server.url)
            token = await add_token(replica, sandbox, 1)
            assert (await lease(replica, token.token_id)).credential.proxy_url == ""


async def test_adding_a_token_goes_on_over_another_proxy_when_one_is_dead(start_replica, sandbox, start_proxy):
    dead, good = await start_proxy(), await start_proxy("socks5")
    async with start_replica(proxy_check_interval=timedelta(hours=1)) as replica:
        proxy_ids = [(await add_proxy(replica.proxies, server.url)).proxy_id for server in (dead, good)]
        for proxy_id in proxy_ids:
            await eventually(lambda proxy_id=proxy_id: _checked(replica.proxies, proxy_id))
        await dead.stop()
        token = await add_token(replica, sandbox, 1)
        assert token.proxy_id == proxy_ids[1]
        assert not await has_state(replica.proxies, proxy_ids[0], proxy_pb.PROXY_STATE_ACTIVE)


async def test_password_is_nowhere_in_clear(start_replica, sandbox, start_proxy, token_settings, caplog, capfd):
    server = await start_proxy("socks5", user="me", password=PASSWORD)
    own = await start_proxy("http", user="me", password=PASSWORD)
    async with start_replica(**QUICK) as replica:
        proxy_id = (await add_proxy(replica.proxies, server.url)).proxy_id
        await add_token(replica, sandbox, 1)
        token = await add_token(replica, sandbox, 2, proxy_url=own.url)
        await set_aside(replica, server, proxy_id)
        answers = [
            await list_proxies(replica.proxies),
            await replica.tokens.ListTokens(pb.ListTokensRequest()),
            await replica.tokens.ListTokenEvents(pb.ListTokenEventsRequest(token_id=token.token_id)),
        ]
    path = token_settings.database_url.get_secret_value().split("///", 1)[1]
    with sqlite3.connect(path) as database:
        dump = "\n".join(database.iterdump())
    assert "proxies" in dump
    output = capfd.readouterr()
    for text in (dump, str(answers), caplog.text, output.out, output.err):
        assert PASSWORD not in text
