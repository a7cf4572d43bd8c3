"""Pictures by URL: what is fetched, and what no trick can reach."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from ipaddress import ip_address

import pytest

from flow2api_common.errors import InvalidArgument
from flow2api_common.outbound.addresses import Address, is_public
from flow2api_common.outbound.targets import system_resolver
from flow2api_gateway.fetch.fetcher import ImageFetcher

PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=="
)
# Names that an attacker's DNS answers for; `rebind` answers a public address first and a private one the next time.
NAMES: dict[str, list[list[str]]] = {
    "loopback.example": [["127.0.0.1"]],
    "loopback6.example": [["::1"]],
    "mixed.example": [["93.184.216.34", "127.0.0.1"]],
    "mapped.example": [["::ffff:127.0.0.1"]],
    "sixtofour.example": [["2002:7f00:1::"]],
    "nat64.example": [["64:ff9b::7f00:1"]],
    "linklocal.example": [["169.254.169.254"]],
    "empty.example": [[]],
}


@dataclass
class Canary:
    """A listener on loopback that nobody may reach."""

    port: int
    connections: int = 0


@pytest.fixture
async def canary() -> AsyncIterator[Canary]:
    found = Canary(0)

    async def on_connection(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        found.connections += 1
        writer.close()

    servers = [await asyncio.start_server(on_connection, "127.0.0.1", 0)]
    found.port = servers[0].sockets[0].getsockname()[1]
    with suppress(OSError):  # A machine without IPv6 has one listener less.
        servers.append(await asyncio.start_server(on_connection, "::1", found.port))
    yield found
    for server in servers:
        server.close()


async def resolve(host: str, port: int) -> Sequence[Address]:
    if host in NAMES:
        return [ip_address(text) for text in NAMES[host][0]]
    if host.endswith(".example"):
        raise OSError("no such host")
    return await system_resolver(host, port)


@asynccontextmanager
async def fetching(**options: object) -> AsyncIterator[ImageFetcher]:
    settings = {"max_bytes": 1000, "timeout": timedelta(seconds=10), "resolve": resolve, "allow_http": True}
    fetcher = ImageFetcher(**(settings | options))
    try:
        yield fetcher
    finally:
        await fetcher.aclose()


TRICKS = [
    "http://127.0.0.1:{port}/x.png",
    "https://127.0.0.1:{port}/x.png",
    "http://localhost:{port}/x.png",
    "http://LOCALHOST:{port}/x.png",
    "http://localhost.:{port}/x.png",
    "http://127.1:{port}/x.png",
    "http://127.0.1:{port}/x.png",
    "http://127.255.255.254:{port}/x.png",
    "http://2130706433:{port}/x.png",
    "http://0x7f000001:{port}/x.png",
    "http://0x7f.0.0.1:{port}/x.png",
    "http://0x7F.0x0.0x0.0x1:{port}/x.png",
    "http://0177.0.0.1:{port}/x.png",
    "http://017700000001:{port}/x.png",
    "http://0.0.0.0:{port}/x.png",
    "http://0:{port}/x.png",
    "http://[::1]:{port}/x.png",
    "http://[::]:{port}/x.png",
    "http://[0:0:0:0:0:0:0:1]:{port}/x.png",
    "http://[::ffff:127.0.0.1]:{port}/x.png",
    "http://[::ffff:7f00:1]:{port}/x.png",
    "http://[::127.0.0.1]:{port}/x.png",
    "http://[2002:7f00:1::]:{port}/x.png",
    "http://[64:ff9b::127.0.0.1]:{port}/x.png",
    "http://[fe80::1%25lo]:{port}/x.png",
    "http://user:pw@127.0.0.1:{port}/x.png",
    "http://a.example@127.0.0.1:{port}/x.png",
    "http://a.example:80@127.0.0.1:{port}/x.png",
    "http://127.0.0.1:{port}\\@a.example/x.png",
    "http://a.example\\@127.0.0.1:{port}/x.png",
    "http://127.0.0.1:{port}#@a.example/x.png",
    "http://127.0.0.1:{port}?@a.example/x.png",
    "http://127%2e0%2e0%2e1:{port}/x.png",
    "http://①②⑦.⓪.⓪.①:{port}/x.png",
    "http://127。0。0。1:{port}/x.png",
    "http://loopback.example:{port}/x.png",
    "http://loopback6.example:{port}/x.png",
    "http://mixed.example:{port}/x.png",
    "http://mapped.example:{port}/x.png",
    "http://sixtofour.example:{port}/x.png",
    "http://nat64.example:{port}/x.png",
    "http://linklocal.example:{port}/x.png",
    "http://empty.example:{port}/x.png",
    "http:/127.0.0.1:{port}/x.png",
    "//127.0.0.1:{port}/x.png",
    "http:127.0.0.1:{port}/x.png",
    "ftp://127.0.0.1:{port}/x.png",
    "file:///etc/passwd",
    "gopher://127.0.0.1:{port}/_x",
    "unix://127.0.0.1:{port}/x.png",
    "http://\t127.0.0.1:{port}/x.png",
    "http://127.0.0.1:{port}/\r\nhost: a.example",
    "http://",
    "http://[",
    "http://[::1:{port}/x.png",
    "http://xn--:{port}/x.png",
    "http://xn--a:{port}/x.png",
    "",
]


@pytest.mark.parametrize("trick", TRICKS)
async def test_no_trick_reaches_a_private_address(canary: Canary, trick: str) -> None:
    async with fetching() as fetcher:
        with pytest.raises(InvalidArgument) as caught:
            await fetcher.fetch(trick.format(port=canary.port), param="image")
    assert (caught.value.reason, caught.value.violations[0].field) == ("INVALID_IMAGE_URL", "image")
    assert "127.0.0.1" not in caught.value.message
    assert canary.connections == 0


PRIVATE = [
    "0.0.0.0",  # noqa: S104 - not bound to, but refused.
    "10.1.2.3",
    "100.64.0.1",
    "127.0.0.1",
    "169.254.169.254",
    "172.16.0.1",
    "192.0.0.8",
    "192.0.2.1",
    "192.88.99.1",
    "192.168.1.1",
    "198.18.0.1",
    "203.0.113.9",
    "224.0.0.1",
    "239.1.1.1",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::7f00:1",
    "::ffff:8.8.8.8",
    "64:ff9b::808:808",
    "64:ff9b:1::1",
    "100::1",
    "2001::1",
    "2001:10::1",
    "2001:db8::1",
    "2002:808:808::1",
    "3fff::1",
    "5f00::1",
    "fc00::1",
    "fd12::1",
    "fe80::1",
    "fec0::1",
    "ff02::1",
    "2606:4700::5efe:7f00:1",
    "2606:4700::200:5efe:7f00:1",
]


@pytest.mark.parametrize("text", PRIVATE)
def test_special_addresses_are_not_public(text: str) -> None:
    assert not is_public(ip_address(text))


@pytest.mark.parametrize("text", ["8.8.8.8", "93.184.216.34", "1.1.1.1", "2606:4700::1111", "2a00:1450:4001::200e"])
def test_ordinary_addresses_are_public(text: str) -> None:
    assert is_public(ip_address(text))


@asynccontextmanager
async def http_server(answers: dict[str, bytes]) -> AsyncIterator[tuple[int, list[str]]]:
    """Answers raw HTTP by path, and keeps what was asked."""
    asked: list[str] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        asked.append(head)
        writer.write(answers[head.split()[1]])
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1], asked
    finally:
        server.close()


def ok(body: bytes, *headers: str) -> bytes:
    lines = ["HTTP/1.1 200 OK", f"content-length: {len(body)}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def redirect(location: str) -> bytes:
    return f"HTTP/1.1 302 Found\r\nlocation: {location}\r\ncontent-length: 0\r\n\r\n".encode()


async def test_a_listed_private_host_is_fetched_under_its_own_name() -> None:
    async with http_server({"/a.png?x=1": ok(PNG)}) as (port, asked):
        NAMES["pictures.example"] = [["127.0.0.1"]]
        async with fetching(allowed_private=(f"pictures.example:{port}",), allow_http=False) as fetcher:
            content = await fetcher.fetch(f"http://pictures.example:{port}/a.png?x=1", param="image")
    assert content == PNG
    assert f"host: pictures.example:{port}" in asked[0].lower()


async def test_a_redirect_is_followed_and_checked_anew(canary: Canary) -> None:
    answers = {
        "/good": redirect("/a.png"),
        "/a.png": ok(PNG),
        "/bad": redirect(f"http://127.0.0.1:{canary.port}/x"),
        "/bad-name": redirect(f"http://loopback.example:{canary.port}/x"),
        "/bad-scheme": redirect("file:///etc/passwd"),
        "/bad-url": redirect("http://[::1"),
        "/bad-port": redirect("http://a.example:99999999/"),
        "/bad-international-name": redirect("http://xn--/"),
    }
    async with http_server(answers) as (port, _), fetching(allowed_private=(f"127.0.0.1:{port}",)) as fetcher:
        assert await fetcher.fetch(f"http://127.0.0.1:{port}/good", param="image") == PNG
        for path in ("/bad", "/bad-name", "/bad-scheme", "/bad-url", "/bad-port", "/bad-international-name"):
            with pytest.raises(InvalidArgument):
                await fetcher.fetch(f"http://127.0.0.1:{port}{path}", param="image")
    assert canary.connections == 0


async def test_a_server_cannot_leave_cookies_with_us() -> None:
    pages = {"/a.png": ok(PNG, "set-cookie: seen=1; path=/")}
    async with http_server(pages) as (port, asked), fetching(allowed_private=(f"127.0.0.1:{port}",)) as fetcher:
        for _ in range(2):
            await fetcher.fetch(f"http://127.0.0.1:{port}/a.png", param="image")
    assert "cookie" not in asked[1].lower()


async def test_redirects_without_end_are_given_up() -> None:
    pages = {"/loop": redirect("/loop")}
    async with http_server(pages) as (port, asked), fetching(allowed_private=(f"127.0.0.1:{port}",)) as fetcher:
        with pytest.raises(InvalidArgument, match="redirects too often"):
            await fetcher.fetch(f"http://127.0.0.1:{port}/loop", param="image")
    assert len(asked) == 4


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (ok(PNG + b"\0" * 2000), "IMAGE_TOO_LARGE"),
        (b"HTTP/1.1 200 OK\r\n\r\n" + PNG + b"\0" * 2000, "IMAGE_TOO_LARGE"),
        (ok(b"<html>"), "INVALID_IMAGE_URL"),
        (ok(PNG, "content-encoding: gzip"), "INVALID_IMAGE_URL"),
        (b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n", "INVALID_IMAGE_URL"),
        (b"garbage\r\n\r\n", "INVALID_IMAGE_URL"),
        (b"", "INVALID_IMAGE_URL"),
    ],
)
async def test_an_answer_that_is_no_picture_within_the_limits_is_refused(answer: bytes, reason: str) -> None:
    pages = {"/a.png": answer}
    async with http_server(pages) as (port, _), fetching(allowed_private=(f"127.0.0.1:{port}",)) as fetcher:
        with pytest.raises(InvalidArgument) as caught:
            await fetcher.fetch(f"http://127.0.0.1:{port}/a.png", param="image")
    assert caught.value.reason == reason


async def test_a_server_that_never_answers_is_given_up() -> None:
    silence = asyncio.Event()

    async def hang(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await silence.wait()
        writer.close()

    server = await asyncio.start_server(hang, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with fetching(allowed_private=(f"127.0.0.1:{port}",), timeout=timedelta(milliseconds=100)) as fetcher:
        with pytest.raises(InvalidArgument, match="in time"):
            await fetcher.fetch(f"http://127.0.0.1:{port}/a.png", param="image")
    silence.set()
    server.close()


async def test_plain_http_needs_a_setting() -> None:
    async with fetching(allow_http=False) as fetcher:
        with pytest.raises(InvalidArgument, match="https"):
            await fetcher.fetch("http://93.184.216.34/a.png", param="image")
