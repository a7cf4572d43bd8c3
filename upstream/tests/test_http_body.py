"""Bodies with large pictures inside: the same bytes as whole ones, without being whole anywhere."""

import asyncio
import base64
import json
import os
import tracemalloc

import pytest

from flow2api_common.file_bytes import FileBytes, FileBytesWriter
from flow2api_upstream.base64_text import encode_image
from flow2api_upstream.http import HttpRequest
from flow2api_upstream.http_body import Base64Text, StreamedBody, json_body
from flow2api_upstream.port import SourceImage

LARGE_BYTES = 6_000_001


def file_of(data):
    writer = FileBytesWriter()
    writer.write(data)
    return writer.finish()


@pytest.fixture(scope="module")
def noise():
    return os.urandom(LARGE_BYTES)


def whole(body, piece):
    reader = body.reader()
    return b"".join(iter(lambda: reader.read(piece), b""))


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 6, 100])
@pytest.mark.parametrize("piece", [1, 2, 3, 4, 5, 7, 64])
@pytest.mark.parametrize("kept", [bytes, file_of], ids=["memory", "file"])
def test_base64_comes_out_the_same_in_pieces_of_any_size(noise, size, piece, kept):
    text = Base64Text(kept(noise[:size]))
    assert len(text) == len(base64.b64encode(noise[:size]))
    assert whole(StreamedBody([text]), piece) == base64.b64encode(noise[:size])


def test_body_with_several_pictures_is_the_json_that_it_would_be(noise):
    prompt = 'a "kite" \u00fcber \U0001f600'
    pictures = [noise[:200_000], noise[:300_001], b"tiny"]
    value = {
        "prompt": prompt,
        "images": [encode_image(SourceImage(each, "image/png")) for each in pictures],
        "tail": [1, None],
    }
    body = json_body(value)
    assert isinstance(body, StreamedBody)
    sent = whole(body, 65536)
    assert len(body) == len(sent)
    texts = [base64.b64encode(each).decode() for each in pictures]
    assert json.loads(sent) == {"prompt": prompt, "images": texts, "tail": [1, None]}
    assert sent.startswith(f'{{"prompt":{json.dumps(prompt, ensure_ascii=False)},'.encode())


def test_body_without_large_pictures_is_bytes():
    image = encode_image(SourceImage(b"small", "image/png"))
    assert json_body({"image": image}) == b'{"image":"c21hbGw="}'


def test_reader_can_go_back(noise):
    body = StreamedBody([b"head", file_of(noise[:100])])
    reader = body.reader()
    first = reader.read(4) + reader.read(50)
    assert (reader.tell(), reader.seek(0, os.SEEK_END), reader.read(1)) == (54, 104, b"")
    assert reader.seek(0) == 0
    assert reader.read(4) + reader.read(50) == first


def test_temporary_file_stays_readable_and_leaves_nothing_behind(noise, tmp_path):
    path = tmp_path / "picture"
    path.write_bytes(noise[:10])
    opened = FileBytes.open(path)
    path.unlink()
    assert opened.read_at(2, 100) == noise[2:10]
    writer = FileBytesWriter()
    writer.write(b"half")
    writer.discard()
    with pytest.raises(ValueError, match="closed"):
        writer.write(b"more")


async def test_streamed_body_arrives_as_it_is(raw_server, client, noise):
    body = StreamedBody([b'{"a":"', Base64Text(file_of(noise)), b'"}'])
    got = bytearray()

    async def take(heard, writer):
        got.extend(heard.body)
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}")

    async with raw_server(take) as server:
        answer = await client.send(HttpRequest("POST", server.url, body=body, paid=True))
    assert answer.status == 200
    assert server.heard[0].line.startswith("POST ")
    assert server.heard[0].headers["content-length"] == str(len(body))
    assert "transfer-encoding" not in server.heard[0].headers
    assert bytes(got) == whole(body, 1 << 20)


async def test_streamed_body_is_sent_from_its_beginning_over_a_new_connection(raw_server, client, noise):
    body = StreamedBody([file_of(noise[:300_000])])

    async def first_post_is_lost(heard, writer):
        if heard.line.startswith("POST") and heard.connection == 1:
            writer.close()
        else:
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}")

    async with raw_server(first_post_is_lost) as server:
        await client.send(HttpRequest("GET", server.url))
        answer = await client.send(HttpRequest("POST", server.url, body=body))
    assert answer.status == 200
    assert server.heard[-1].body == noise[:300_000]


async def test_many_large_bodies_under_way_take_little_memory(client, noise):
    """One picture kept as bytes, base64, JSON and body takes more than four times its size; here ten take less than
    one does."""
    count = 10
    barrier = asyncio.Barrier(count)

    async def swallow(reader, writer):
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        left = int(head.partition("content-length: ")[2].split("\r\n")[0])
        left -= len(await reader.read(1 << 16))
        # All are under way.
        await barrier.wait()
        while left:
            left -= len(await reader.read(min(left, 1 << 16)))
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}")
        writer.close()

    picture = file_of(noise)
    server = await asyncio.start_server(swallow, "127.0.0.1", 0, limit=1 << 16)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"

    async def upload():
        body = json_body({"imageBytes": encode_image(SourceImage(picture, "image/png"))})
        return (await client.send(HttpRequest("POST", url, body=body))).status

    tracemalloc.start()
    try:
        statuses = await asyncio.gather(*(upload() for _ in range(count)))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
        server.close()
    assert statuses == [200] * count
    assert peak < LARGE_BYTES
