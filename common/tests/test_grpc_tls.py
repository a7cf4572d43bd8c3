"""TLS on gRPC with real certificates: who is let in, what is told, and certificates that change."""

from __future__ import annotations

import asyncio
import re
import ssl
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)
from google.protobuf.wrappers_pb2 import StringValue

from flow2api_common.certificates import CertificateError, WatchedFiles, read_certificates
from flow2api_common.errors import DependencyUnavailable, InternalError
from flow2api_common.grpc_client import rpc_errors, wait_until_ready
from flow2api_common.grpc_errors import PEER_CONNECTION_REFUSED, SERVICE_TOKEN_INVALID
from flow2api_common.grpc_tls import ClientTls, GrpcClientTlsSettings, GrpcServerTlsSettings, ServerTls
from flow2api_common.settings import SettingsError, load_settings
from flow2api_testing.certificates import TestAuthority
from flow2api_testing.waiting import eventually


@pytest.fixture
def authority(tmp_path: Path) -> TestAuthority:
    return TestAuthority(tmp_path / "ca")


@pytest.fixture
def server_tls(authority: TestAuthority) -> ServerTls:
    files = authority.issue("server")
    return ServerTls(cert_file=files.cert, key_file=files.key)


@pytest.fixture
def mutual_tls(server_tls: ServerTls, authority: TestAuthority) -> ServerTls:
    return replace(server_tls, client_ca_file=authority.file)


@pytest.fixture
def client_tls(authority: TestAuthority) -> ClientTls:
    return ClientTls(ca_file=authority.file)


@pytest.fixture
def known_client(client_tls: ClientTls, authority: TestAuthority) -> ClientTls:
    files = authority.issue("client")
    return replace(client_tls, cert_file=files.cert, key_file=files.key)


async def refusal(client: Any) -> DependencyUnavailable:
    """The error that a call ends with, which says that the connection is refused."""
    with pytest.raises(DependencyUnavailable) as caught, rpc_errors("echo"):
        await client.unary("a", timeout=10)
    assert caught.value.reason == PEER_CONNECTION_REFUSED
    return caught.value


class TestConnecting:
    async def test_all_four_kinds_of_calls_go_through(self, serve, server_tls, client_tls) -> None:
        client = await serve(tls=server_tls, client_tls=client_tls)
        await wait_until_ready(client.channel, timedelta(seconds=10))
        assert await client.unary("a") == "a"
        assert [response.value async for response in client.stream_out("3")] == ["0", "1", "2"]
        assert await client.stream_in("a", "b") == "ab"
        assert await client.stream_both("a", "b") == ["a", "b"]

    async def test_the_service_token_is_wanted_all_the_same(self, serve, mutual_tls, known_client) -> None:
        client = await serve(tls=mutual_tls, client_tls=known_client, client_token="wrong")
        with pytest.raises(InternalError) as caught, rpc_errors("echo"):
            await client.unary("a")
        assert caught.value.reason == SERVICE_TOKEN_INVALID

    async def test_another_authority_is_not_believed(self, serve, server_tls, tmp_path: Path) -> None:
        other = TestAuthority(tmp_path / "other")
        client = await serve(tls=server_tls, client_tls=ClientTls(ca_file=other.file))
        assert "not signed by a CA in FLOW2API_GRPC_CA_FILE" in (await refusal(client)).message

    async def test_a_client_in_clear_is_refused(self, serve, server_tls) -> None:
        assert "FLOW2API_GRPC_CA_FILE" in (await refusal(await serve(tls=server_tls))).message

    async def test_a_server_in_clear_is_refused(self, serve, client_tls) -> None:
        assert "does not speak TLS" in (await refusal(await serve(client_tls=client_tls))).message

    async def test_a_peer_that_is_not_there_is_away(self, serve, server_tls, client_tls) -> None:
        client = await serve(tls=server_tls, client_tls=client_tls)
        await client.server.stop(timedelta(0))
        with pytest.raises(DependencyUnavailable) as caught, rpc_errors("echo"):
            await client.unary("a")
        assert caught.value.reason == "DEPENDENCY_UNAVAILABLE"

    async def test_the_name_in_the_certificate_can_be_another(self, serve, server_tls, client_tls, authority) -> None:
        authority.issue("server", "token.flow2api.internal")
        wrong = await serve(tls=server_tls, client_tls=client_tls)
        assert "another name" in (await refusal(wrong)).message
        named = await serve(tls=server_tls, client_tls=replace(client_tls, server_name="token.flow2api.internal"))
        assert await named.unary("a") == "a"

    async def test_a_unix_socket_goes_without(self, serve, server_tls, client_tls, tmp_path: Path) -> None:
        client = await serve(address=f"unix:{tmp_path}/s", tls=server_tls, client_tls=client_tls)
        assert await client.unary("a") == "a"


class TestMutual:
    async def test_a_known_client_is_let_in(self, serve, mutual_tls, known_client) -> None:
        client = await serve(tls=mutual_tls, client_tls=known_client)
        assert await client.unary("a") == "a"

    async def test_one_without_a_certificate_is_refused(self, serve, mutual_tls, client_tls) -> None:
        client = await serve(tls=mutual_tls, client_tls=client_tls)
        assert "FLOW2API_GRPC_CLIENT_CERT_FILE" in (await refusal(client)).message

    async def test_a_certificate_of_another_authority_is_refused(
        self, serve, mutual_tls, client_tls, tmp_path: Path
    ) -> None:
        files = TestAuthority(tmp_path / "other").issue("client")
        stranger = replace(client_tls, cert_file=files.cert, key_file=files.key)
        await refusal(await serve(tls=mutual_tls, client_tls=stranger))


class TestRenewal:
    async def test_a_server_shows_its_new_certificate(self, serve, server_tls, authority, client_tls) -> None:
        client = await serve(tls=server_tls, client_tls=client_tls)
        before = await asyncio.to_thread(shown_certificate, client.address)
        assert before == server_tls.cert_file.read_text()
        authority.issue("server")
        renewed = await asyncio.to_thread(shown_certificate, client.address)
        assert renewed == server_tls.cert_file.read_text() != before
        assert await client.unary("a") == "a"

    async def test_a_server_keeps_its_certificate_while_the_new_one_has_no_key(
        self, serve, server_tls, authority, client_tls
    ) -> None:
        client = await serve(tls=server_tls, client_tls=client_tls)
        before = server_tls.cert_file.read_text()
        server_tls.cert_file.write_text(authority.issue("other").cert.read_text())
        assert await asyncio.to_thread(shown_certificate, client.address) == before
        server_tls.key_file.unlink()
        assert await asyncio.to_thread(shown_certificate, client.address) == before
        assert await client.unary("a") == "a"

    async def test_both_ends_move_to_another_authority_while_a_call_is_under_way(
        self, serve, mutual_tls, known_client, authority, tmp_path: Path
    ) -> None:
        release = asyncio.Event()

        async def stream(request: StringValue, context: Any) -> AsyncIterator[StringValue]:
            yield request
            await release.wait()
            yield request

        client = await serve(tls=mutual_tls, client_tls=known_client, stream_out=stream)
        under_way = client.stream_out("kept")
        assert (await under_way.read()).value == "kept"
        successor = TestAuthority(tmp_path / "successor")
        for name in ("server", "client"):
            replaced = successor.issue(name)
            for new, old in ((replaced.cert, f"{name}.crt"), (replaced.key, f"{name}.key")):
                new.replace(authority.file.with_name(old))
        successor.file.replace(authority.file)

        async def is_renewed() -> bool:
            return await client.unary("new") == "new" and len(client.channel._retiring) == 1

        assert await eventually(is_renewed)
        release.set()
        assert (await under_way.read()).value == "kept"
        assert await under_way.read() is grpc.aio.EOF
        await eventually(lambda: not client.channel._retiring)

    async def test_closing_ends_calls_on_an_old_connection(self, serve, server_tls, client_tls, authority) -> None:
        async def stream(request: StringValue, context: Any) -> AsyncIterator[StringValue]:
            yield request
            await asyncio.Event().wait()

        client = await serve(tls=server_tls, client_tls=client_tls, stream_out=stream)
        under_way = client.stream_out("kept")
        await under_way.read()
        client.channel._look_interval = timedelta(0)
        client_tls.ca_file.write_text(client_tls.ca_file.read_text() + "\n")
        await client.unary("a")
        assert client.channel._retiring
        await client.channel.close()
        with pytest.raises(asyncio.CancelledError):
            await under_way.read()
        assert not client.channel._retiring


class TestWatchedFiles:
    def test_tells_a_change_once(self, authority) -> None:
        files = WatchedFiles((authority.file,), lambda: read_certificates(authority.file))
        assert files.look() is None
        text = authority.file.read_bytes() + b"\n"
        authority.file.write_bytes(text)
        assert files.look() == text == files.current
        assert files.look() is None

    def test_a_file_that_is_broken_for_a_while_changes_nothing(self, authority, capsys) -> None:
        good = authority.file.read_bytes()
        files = WatchedFiles((authority.file,), lambda: read_certificates(authority.file))
        authority.file.write_bytes(b"half a certificate")
        assert files.look() is None
        assert files.current == good
        authority.file.write_bytes(good + b"\n")
        assert files.look() == good + b"\n"

    def test_a_link_that_leads_elsewhere_is_a_change(self, authority, tmp_path: Path) -> None:
        other = TestAuthority(tmp_path / "other")
        link = tmp_path / "link"
        link.symlink_to(authority.file)
        files = WatchedFiles((link,), lambda: read_certificates(link))
        (tmp_path / "next").symlink_to(other.file)
        (tmp_path / "next").replace(link)
        assert files.look() == other.file.read_bytes()


class TestSettings:
    def test_nothing_given_is_clear_text(self) -> None:
        assert load_settings(GrpcServerTlsSettings).server_tls is None
        assert load_settings(GrpcClientTlsSettings, grpc_ca_file="").client_tls("") is None

    def test_everything_given(self, authority) -> None:
        files = authority.issue("server")
        server = load_settings(
            GrpcServerTlsSettings,
            grpc_server_cert_file=files.cert,
            grpc_server_key_file=str(files.key),
            grpc_server_client_ca_file=authority.file,
        )
        assert server.server_tls == ServerTls(cert_file=files.cert, key_file=files.key, client_ca_file=authority.file)
        client = load_settings(
            GrpcClientTlsSettings,
            grpc_ca_file=authority.file,
            grpc_client_cert_file=files.cert,
            grpc_client_key_file=files.key,
        )
        assert client.client_tls("name") == ClientTls(
            ca_file=authority.file, cert_file=files.cert, key_file=files.key, server_name="name"
        )

    def test_each_mistake_names_its_setting(self, authority, tmp_path: Path) -> None:
        files, other = authority.issue("server"), authority.issue("other")
        ended = authority.issue("ended", lifetime=timedelta(days=-1))
        text = tmp_path / "text"
        text.write_text("this is no PEM")
        locked = tmp_path / "locked.key"
        key = load_pem_private_key(files.key.read_bytes(), None)
        locked.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"passphrase")))
        missing = tmp_path / "missing"
        cases: list[tuple[dict[str, object], str]] = [
            ({"cert_file": files.cert}, r"KEY_FILE: is required beside FLOW2API_GRPC_SERVER_CERT_FILE"),
            ({"key_file": files.key}, r"KEY_FILE: has no effect without FLOW2API_GRPC_SERVER_CERT_FILE"),
            ({"client_ca_file": authority.file}, r"CLIENT_CA_FILE: has no effect without"),
            ({"cert_file": files.cert, "key_file": other.key}, r"KEY_FILE: .* is not the key of the certificate in"),
            ({"cert_file": missing, "key_file": files.key}, r"CERT_FILE: .*missing cannot be read: No such file"),
            ({"cert_file": tmp_path, "key_file": files.key}, r"CERT_FILE: .* cannot be read: Is a directory"),
            ({"cert_file": text, "key_file": files.key}, r"CERT_FILE: .*text holds no PEM certificate"),
            ({"cert_file": files.cert, "key_file": text}, r"KEY_FILE: .*text holds no PEM private key"),
            ({"cert_file": files.cert, "key_file": locked}, r"KEY_FILE: the key in .* wants a passphrase"),
            ({"cert_file": ended.cert, "key_file": ended.key}, r"CERT_FILE: the certificate in .* ended on \d{4}-"),
        ]
        for given, expected in cases:
            with pytest.raises(SettingsError) as caught:
                load_settings(GrpcServerTlsSettings, **{f"grpc_server_{name}": value for name, value in given.items()})
            (mistake,) = caught.value.mistakes
            assert re.match(f"FLOW2API_GRPC_SERVER_{expected}", mistake), mistake
            assert "PRIVATE KEY-----" not in mistake

    def test_a_client_certificate_needs_an_authority_to_believe(self, authority) -> None:
        files = authority.issue("client")
        with pytest.raises(SettingsError) as caught:
            load_settings(GrpcClientTlsSettings, grpc_client_cert_file=files.cert, grpc_client_key_file=files.key)
        assert "FLOW2API_GRPC_CLIENT_CERT_FILE: has no effect without FLOW2API_GRPC_CA_FILE" in caught.value.mistakes

    def test_files_that_went_bad_after_the_settings_were_read_are_told(self, authority, tmp_path: Path) -> None:
        authority.file.write_text("")
        with pytest.raises(CertificateError, match="holds no PEM certificate"):
            read_certificates(authority.file)


def shown_certificate(address: str) -> str:
    """What the server shows in a new handshake."""
    host, _, port = address.rpartition(":")
    return ssl.get_server_certificate((host, int(port)), timeout=10)
