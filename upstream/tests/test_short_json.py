"""Answers with whole clips in them, read without holding the clip."""

import json

import pytest

from flow2api_upstream.google.short_json import CUT, shortened_json

LONG = "A" * 200_000


async def pieces(text, size):
    data = text.encode()
    for start in range(0, len(data), size):
        yield data[start : start + size]


@pytest.mark.parametrize("size", [1, 7, 4096, 10**6])
async def test_short_json_is_read_as_it_is(size):
    value = {"a": ['q"\\', {"b": "ü\n"}, [], True, 1.5], "c": "[{\\"}
    assert await shortened_json(pieces(json.dumps(value), size)) == value


@pytest.mark.parametrize("size", [1000, 4096, 10**6])
async def test_long_texts_are_cut_and_the_rest_is_kept(size):
    value = {"done": True, "videos": [{"bytes": LONG, "type": "mp4"}, {"bytes": LONG + '"\\' * 9}], "count": 2}
    short = await shortened_json(pieces(json.dumps(value), size))
    assert short == {"done": True, "videos": [{"bytes": CUT, "type": "mp4"}, {"bytes": CUT}], "count": 2}


async def test_nothing_is_read_behind_the_first_long_text():
    read = 0

    async def counted():
        nonlocal read
        async for piece in pieces(json.dumps({"done": True, "videos": [{"bytes": LONG, "type": "mp4"}]}), 4096):
            read += len(piece)
            yield piece

    assert await shortened_json(counted(), ends_at_long_text=True) == {"done": True, "videos": [{"bytes": CUT}]}
    assert read < len(LONG) / 2


@pytest.mark.parametrize("text", ["", "{", '{"a": "', "nonsense"])
async def test_what_is_no_json_is_said(text):
    with pytest.raises(json.JSONDecodeError):
        await shortened_json(pieces(text, 10))


async def test_large_json_without_long_texts_is_refused():
    with pytest.raises(ValueError, match="too large"):
        await shortened_json(pieces(json.dumps(["a" * 1000] * 6000), 65536))
