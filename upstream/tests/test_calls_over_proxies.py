"""Calls over real proxies of every kind: what gets through, and whose fault it is when nothing does."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from flow2api_upstream.flow.provider import FlowProvider
from flow2api_upstream.http import HttpClient, HttpRequest
from flow2api_upstream.port import Account, FailureClass, ImageCall, Secret, UpstreamFailure

PASSWORD = "p@ss word#1"
KINDS = ("http", "socks5", "socks5h")


@pytest.fixture
async def client(settings) -> AsyncIterator[HttpClient]:
    client = HttpClient(settings)
    yield client
    await client.aclose()


@pytest.fixture
async def flow(upstream_settings) -> AsyncIterator[FlowProvider]:
    provider = FlowProvider(upstream_settings, HttpClient(upstream_settings))
    yield provider
    await provider.aclose()


async def failure_over(client, proxy_url, url, **fields) -> UpstreamFailure:
    with pytest.raises(UpstreamFailure) as raised:
        await client.send(HttpRequest("POST", url, body=b"{}", proxy_url=proxy_url, paid=True, **fields))
    assert not raised.value.may_have_been_accepted
    return raised.value


@pytest.mark.parametrize("login", [{}, {"user": "us:er", "password": PASSWORD}], ids=["open", "login"])
@pytest.mark.parametrize("scheme", KINDS)
async def test_picture_is_made_over_a_proxy(flow, sandbox, start_proxy, scheme, login):
    sandbox.world.add_account("session-token-of-account-0001", credits=10)
    proxy = await start_proxy(scheme, **login)
    grant = await flow.refresh(Secret("session-token-of-account-0001"), proxy_url=proxy.url)
    account = Account(1, grant.bearer, "session-token-of-account-0001", proxy_url=proxy.url)
    project = await flow.create_project(account, "over a proxy")
    account = Account(1, grant.bearer, "session-token-of-account-0001", project.project_id, proxy_url=proxy.url)

    result = await flow.generate_image(account, ImageCall("GEM_PIX_2", "a boat", "16:9", "1K", seed=7))
    async with flow.fetch_url(account, result.url) as stream:
        picture = b"".join([chunk async for chunk in stream.chunks])

    assert picture.startswith(b"\x89PNG")
    assert set(proxy.targets) == {urlsplit(sandbox.base_url).netloc}
    assert proxy.call_count >= 2
    assert proxy.refused_logins == 0


@pytest.mark.parametrize("scheme", KINDS)
class TestProxyFailures:
    async def test_nobody_listens(self, client, start_proxy, scheme):
        proxy = await start_proxy(scheme)
        await proxy.stop()
        failure = await failure_over(client, proxy.url, "http://127.0.0.1:9/")
        assert failure.failure_class is FailureClass.PROXY

    async def test_wrong_password(self, client, start_proxy, scheme):
        proxy = await start_proxy(scheme, user="user", password="right")
        failure = await failure_over(client, proxy.url.replace("right", "wrong-secret"), "http://127.0.0.1:9/")
        assert failure.failure_class is FailureClass.PROXY
        assert proxy.refused_logins == 1
        assert "wrong-secret" not in f"{failure!r} {failure.reason} {failure.__cause__!r}"

    async def test_it_hangs(self, client, start_proxy, scheme):
        proxy = await start_proxy(scheme)
        proxy.hangs = True
        url = "https://127.0.0.1:9/"
        failure = await failure_over(client, proxy.url, url, timeout=timedelta(seconds=0.3))
        assert failure.failure_class is FailureClass.PROXY
        assert failure.timed_out

    async def test_it_does_not_reach_the_other_side(self, client, start_proxy, scheme, unused_tcp_port):
        proxy = await start_proxy(scheme)
        failure = await failure_over(client, proxy.url, f"https://127.0.0.1:{unused_tcp_port}/")
        assert failure.failure_class is FailureClass.PROXY

    async def test_connection_lost_after_the_request_is_not_laid_to_the_proxy(
        self, client, raw_server, start_proxy, scheme
    ):
        async def hang_up(request, writer):
            del request
            writer.transport.abort()

        proxy = await start_proxy(scheme)
        async with raw_server(hang_up) as server:
            with pytest.raises(UpstreamFailure) as raised:
                await client.send(HttpRequest("POST", server.url, body=b"{}", proxy_url=proxy.url, paid=True))
        assert raised.value.failure_class is FailureClass.NETWORK
        assert raised.value.may_have_been_accepted

    async def test_tunnel_leads_to_tls_whose_certificate_is_not_the_proxys(self, client, start_proxy, scheme, tls_url):
        proxy = await start_proxy(scheme)
        failure = await failure_over(client, proxy.url, tls_url)
        assert failure.failure_class is FailureClass.NETWORK
        assert set(proxy.targets) == {urlsplit(tls_url).netloc}


async def test_proxy_name_that_does_not_resolve(client):
    failure = await failure_over(client, "http://proxy.invalid:8080", "http://127.0.0.1:9/")
    assert failure.failure_class is FailureClass.PROXY


async def test_upstream_without_a_proxy_is_never_laid_to_a_proxy(client, unused_tcp_port):
    failure = await failure_over(client, "", f"http://127.0.0.1:{unused_tcp_port}/")
    assert failure.failure_class is FailureClass.NETWORK


@pytest.fixture
async def tls_url(tmp_path) -> AsyncIterator[str]:
    """A server with a certificate that nobody trusts."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), now, now + timedelta(days=1))
    ).sign(key, hashes.SHA256())
    (tmp_path / "certificate.pem").write_bytes(
        certificate.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "certificate.pem")

    async def serve(reader, writer):
        del reader
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    yield f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    server.close()
