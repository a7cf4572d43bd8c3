"""Base64 inside JSON, in whatever pieces it comes."""

import base64
import itertools
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flow2api_upstream.base64_stream import NoSuchMember, decoded_member


async def pieces_of(data, cuts):
    edges = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    for start, end in itertools.pairwise(edges):
        yield data[start:end]


async def read(text, cuts=(), name="encodedVideo"):
    return b"".join([chunk async for chunk in decoded_member(pieces_of(text, cuts), name)])


def escaped(text):
    return text.replace("/", "\\/").replace("=", "\\u003d").replace("+", "\\u002B")


@given(data=st.binary(min_size=1, max_size=300), cuts=st.lists(st.integers(0, 2000), max_size=30), escape=st.booleans())
async def test_any_split_gives_the_same_bytes(data, cuts, escape):
    encoded = base64.b64encode(data).decode()
    text = '{"name": "x", "video": {"seed": 1, "encodedVideo" : "%s", "prompt": "y"}}'
    whole = (text % (escaped(encoded) if escape else encoded)).encode()
    assert await read(whole, cuts) == data


async def test_url_safe_alphabet_is_read():
    data = b"\xff\xfe\xfd" * 10
    encoded = base64.urlsafe_b64encode(data).decode()
    assert await read(json.dumps({"encodedVideo": encoded}).encode()) == data


@pytest.mark.parametrize("text", [b"{}", b'{"video": {}}', b'{"encodedVideo": ""}', b"", b'{"encodedVideo": null}'])
async def test_missing_or_empty_member_is_told(text):
    with pytest.raises(NoSuchMember):
        await read(text)


@pytest.mark.parametrize("text", [b'{"encodedVideo": "AAAA', b'{"encodedVideo": "A"}', b'{"encodedVideo": "@@@@"}'])
async def test_damaged_text_is_told(text):
    with pytest.raises(ValueError):
        await read(text)


async def test_name_is_found_across_a_cut():
    text = json.dumps({"a": "b" * 500, "encodedVideo": "QUJD"}).encode()
    for cut in range(len(text)):
        assert await read(text, [cut]) == b"ABC"
