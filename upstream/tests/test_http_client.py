"""The HTTP client over a server that misbehaves on purpose."""

import asyncio
import contextlib
import gzip
import socket
import struct
from datetime import timedelta

import pytest

from flow2api_testing.waiting import eventually
from flow2api_upstream.http import HttpClient, HttpRequest
from flow2api_upstream.port import FailureClass, UpstreamFailure


def answer(body=b"{}", status="200 OK", *headers):
    lines = [f"HTTP/1.1 {status}", f"content-length: {len(body)}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def cut(writer):
    sock = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


async def say_ok(heard, writer):
    writer.write(answer(b'{"ok": true}'))


async def close_after_first(heard, writer):
    """Answers the first request of a connection and cuts it at the second, as a lost answer looks."""
    if heard.line.startswith("POST"):
        cut(writer)
    else:
        writer.write(answer())


async def test_paid_post_goes_out_once_when_a_kept_connection_dies(raw_server, client):
    async with raw_server(close_after_first) as server:
        await client.send(HttpRequest("GET", server.url))
        with pytest.raises(UpstreamFailure) as raised:
            await client.send(HttpRequest("POST", server.url, body=b"{}", paid=True))
    assert [heard.line.split()[0] for heard in server.heard] == ["GET", "POST"]
    assert raised.value.failure_class is FailureClass.NETWORK
    assert raised.value.may_have_been_accepted


async def test_unpaid_post_that_is_cut_never_claims_acceptance(raw_server, client):
    async with raw_server(close_after_first) as server:
        with pytest.raises(UpstreamFailure) as raised:
            await client.send(HttpRequest("POST", server.url, body=b"{}"))
    assert raised.value.failure_class is FailureClass.NETWORK
    assert not raised.value.may_have_been_accepted


async def test_connections_are_kept_between_calls(raw_server, client):
    async with raw_server(say_ok) as server:
        for _ in range(3):
            await client.send(HttpRequest("GET", server.url))
    assert {heard.connection for heard in server.heard} == {1}


async def test_paid_call_on_a_closed_port_was_not_accepted(client, unused_tcp_port):
    with pytest.raises(UpstreamFailure) as raised:
        await client.send(HttpRequest("POST", f"http://127.0.0.1:{unused_tcp_port}", body=b"{}", paid=True))
    assert raised.value.failure_class is FailureClass.NETWORK
    assert not raised.value.may_have_been_accepted


async def test_paid_call_through_a_dead_proxy_was_not_accepted(raw_server, client, unused_tcp_port):
    proxy = f"http://user:hidden@127.0.0.1:{unused_tcp_port}"
    async with raw_server(say_ok) as server:
        with pytest.raises(UpstreamFailure) as raised:
            await client.send(HttpRequest("POST", server.url, body=b"{}", proxy_url=proxy, paid=True))
    assert server.heard == []
    assert not raised.value.may_have_been_accepted
    assert "hidden" not in f"{raised.value!r} {raised.value.__cause__!r}"


async def test_paid_call_with_broken_tls_was_not_accepted(raw_server, client):
    async with raw_server(say_ok) as server:
        url = server.url.replace("http:", "https:")
        with pytest.raises(UpstreamFailure) as raised:
            await client.send(HttpRequest("POST", url, body=b"{}", paid=True))
    assert raised.value.failure_class is FailureClass.NETWORK
    assert not raised.value.may_have_been_accepted


async def test_paid_call_that_hangs_times_out_and_may_have_been_accepted(raw_server, client):
    async def hang(heard, writer):
        await asyncio.Event().wait()

    async with raw_server(hang) as server:
        with pytest.raises(UpstreamFailure) as raised:
            await client.send(
                HttpRequest("POST", server.url, body=b"{}", paid=True, timeout=timedelta(milliseconds=300))
            )
    assert raised.value.timed_out
    assert raised.value.may_have_been_accepted


async def test_answer_that_ends_early_is_a_network_failure(raw_server, client):
    async def half(heard, writer):
        writer.write(answer(b"x" * 1000)[:-500])
        await writer.drain()
        writer.close()

    async with raw_server(half) as server:
        with pytest.raises(UpstreamFailure) as raised:
            await client.send(HttpRequest("POST", server.url, body=b"{}", paid=True))
    assert raised.value.failure_class is FailureClass.NETWORK
    assert raised.value.may_have_been_accepted


async def test_answer_over_the_cap_is_refused(raw_server, settings):
    client = HttpClient(settings.model_copy(update={"upstream_max_answer_bytes": 1024}))
    async with raw_server(replying(answer(b"x" * 5000))) as server:
        with pytest.raises(UpstreamFailure) as raised:
            await client.send(HttpRequest("GET", server.url))
    await client.aclose()
    assert raised.value.reason == "answer_too_large"


async def test_gzip_is_decoded(raw_server, client):
    async def compressed(heard, writer):
        assert "gzip" in heard.headers["accept-encoding"]
        assert "br" in heard.headers["accept-encoding"]
        writer.write(answer(gzip.compress(b'{"a": 1}'), "200 OK", "content-encoding: gzip"))

    async with raw_server(compressed) as server:
        got = await client.send(HttpRequest("GET", server.url))
    assert await got.json() == {"a": 1}


async def test_cookies_of_one_account_do_not_reach_the_next(raw_server, client):
    async with raw_server(replying(answer(b"{}", "200 OK", "set-cookie: a=1"))) as server:
        first = await client.send(HttpRequest("GET", server.url))
        await client.send(HttpRequest("GET", server.url))
    assert first.set_cookies == ["a=1"]
    assert all("cookie" not in heard.headers for heard in server.heard)


async def test_redirects_are_told_and_not_followed(raw_server, client):
    async with raw_server(replying(answer(b"", "302 Found", "location: /elsewhere"))) as server:
        got = await client.send(HttpRequest("GET", f"{server.url}/here"))
    assert (got.status, got.location) == (302, f"{server.url}/elsewhere")
    assert len(server.heard) == 1


async def test_stream_follows_a_redirect_without_the_credentials_to_another_origin(raw_server, client):
    async with raw_server(replying(answer(b"file"))) as other:

        async def away(heard, writer):
            target = f"location: {other.url}/file" if heard.line.startswith("GET /away") else "location: /away"
            writer.write(answer(b"moved", "302 Found", target))

        async with raw_server(away) as own:
            request = HttpRequest("GET", own.url, credentials={"x-key": "secret"})
            async with client.stream(request) as stream:
                assert b"".join([chunk async for chunk in stream.chunks]) == b"file"
    assert [heard.headers.get("x-key") for heard in own.heard] == ["secret", "secret"]
    assert [heard.headers.get("x-key") for heard in other.heard] == [None]


async def test_stream_tells_the_beginning_of_an_error_body(raw_server, client):
    script = replying(answer(b"no such file", "404 Not Found"))
    async with raw_server(script) as server, client.stream(HttpRequest("GET", server.url)) as stream:
        assert (stream.status, stream.is_success, stream.error_body) == (404, False, b"no such file")


async def test_stream_of_nothing_is_empty(raw_server, client):
    async with raw_server(replying(answer(b""))) as server, client.stream(HttpRequest("GET", server.url)) as stream:
        assert [chunk async for chunk in stream.chunks] == []


async def test_slow_reader_makes_the_upstream_wait(raw_server, client):
    """A reader that stands still stops the sender: the file never piles up in memory."""
    size = 64 * 1024 * 1024
    sent = 0

    async def pour(heard, writer):
        nonlocal sent
        writer.write(f"HTTP/1.1 200 OK\r\ncontent-length: {size}\r\n\r\n".encode())
        while sent < size:
            writer.write(b"\0" * 65536)
            await writer.drain()
            sent += 65536

    async with raw_server(pour) as server, client.stream(HttpRequest("GET", server.url)) as stream:
        received = len(await anext(stream.chunks))
        await eventually(_stands_still(lambda: sent))
        assert sent < size // 2
        async for chunk in stream.chunks:
            assert len(chunk) < 4 * 1024 * 1024
            received += len(chunk)
    assert received == size


async def test_leaving_a_stream_early_ends_the_download(raw_server, client):
    gone = asyncio.Event()

    async def drip(heard, writer):
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n")
        with contextlib.suppress(ConnectionError):
            while True:
                writer.write(b"x" * 100)
                await writer.drain()
                await asyncio.sleep(0.01)
        gone.set()

    async with raw_server(drip) as server:
        async with client.stream(HttpRequest("GET", server.url)) as stream:
            assert await anext(stream.chunks)
        assert not [task for task in asyncio.all_tasks() if task.get_name() == "upstream-download"]
        await client.aclose()
        async with asyncio.timeout(10):
            await gone.wait()


async def test_stream_cut_in_the_middle_is_a_network_failure(raw_server, client):
    async def half(heard, writer):
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n" + b"x" * 100)
        await writer.drain()
        writer.close()

    async with raw_server(half) as server:
        with pytest.raises(UpstreamFailure) as raised:
            await read_all(client, server.url)
    assert raised.value.failure_class is FailureClass.NETWORK


async def test_cancelled_call_frees_its_handle(raw_server, settings):
    client = HttpClient(settings.model_copy(update={"upstream_pool_size": 1}))
    arrived = asyncio.Event()

    async def hang_first(heard, writer):
        if heard.line.startswith("GET /hang"):
            arrived.set()
            await asyncio.Event().wait()
        writer.write(answer())

    async with raw_server(hang_first) as server:
        task = asyncio.create_task(client.send(HttpRequest("GET", f"{server.url}/hang")))
        await arrived.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        got = await client.send(HttpRequest("GET", f"{server.url}/next"))
    await client.aclose()
    assert got.status == 200


async def test_pools_are_bounded_and_the_oldest_goes_first(raw_server, settings):
    client = HttpClient(settings.model_copy(update={"upstream_max_sessions": 2}))
    async with raw_server(say_ok) as server:
        for number in range(5):
            proxy = server.url.replace("//", f"//user{number}:x@")
            await client.send(HttpRequest("GET", "http://upstream.example/", proxy_url=proxy))
            assert client.session_count <= 2
    await client.aclose()
    assert len(server.heard) == 5


async def test_impersonation_speaks_plain_http_1_on_clear_text(raw_server, settings):
    client = HttpClient(settings.model_copy(update={"upstream_impersonate": "chrome"}))
    async with raw_server(say_ok) as server:
        await client.send(HttpRequest("POST", server.url, body=b"{}"))
    await client.aclose()
    assert "upgrade" not in server.heard[0].headers
    assert "Chrome/" in server.heard[0].headers["user-agent"]


async def test_call_after_close_fails_without_being_sent(raw_server, settings):
    client = HttpClient(settings)
    async with raw_server(say_ok) as server:
        await client.send(HttpRequest("GET", server.url))
        await client.aclose()
        with pytest.raises(UpstreamFailure) as raised:
            await client.send(HttpRequest("POST", server.url, body=b"{}", paid=True))
    assert len(server.heard) == 1
    assert not raised.value.may_have_been_accepted


async def read_all(client, url):
    async with client.stream(HttpRequest("GET", url)) as stream:
        return b"".join([chunk async for chunk in stream.chunks])


def replying(data):
    async def reply(heard, writer):
        writer.write(data)

    return reply


def _stands_still(read):
    last = None

    async def check():
        nonlocal last
        before, last = last, read()
        await asyncio.sleep(0.05)
        return before is not None and before == read()

    return check
