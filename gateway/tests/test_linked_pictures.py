"""The last picture of a text, found in time that grows with the text alone."""

from __future__ import annotations

import pytest

from flow2api_gateway.openai.chat.linked_pictures import last_linked_picture

MEGABYTE = 1 << 20


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("![a](https://x/1)", "https://x/1"),
        ("![a](https://x/1) and ![b](https://x/2) the end", "https://x/2"),
        ('![a]( <https://x/1> "title")', "https://x/1"),
        ("![a [b](https://x/1)", "https://x/1"),
        ("![a](/media/m?sig=1)", "/media/m?sig=1"),
        ("![a](data:image/png;base64,aGk=)", "data:image/png;base64,aGk="),
        ("![a](https://x/1) [no picture](https://x/2)", "https://x/1"),
        ("![a](https://x/1) ![b](ftp://x/2)", "https://x/1"),
        ("![a](https://x/1) ![b](https://x/2", "https://x/1"),
        ("[a](https://x/1)", None),
        ("![a] (https://x/1)", None),
        ("![a](https://)", None),
        ("", None),
    ],
)
def test_the_last_picture_counts(text: str, url: str | None) -> None:
    assert last_linked_picture(text) == url


@pytest.mark.parametrize(
    "piece", ["![", "![](", "![](https://a", "![](https://a     ", "](", "]()", " ", "![a](ftp://x) "]
)
def test_a_megabyte_of_beginnings_holds_nobody_up(piece: str) -> None:
    """With a search that begins anew at each of them, this test would run for an hour."""
    assert last_linked_picture(piece * (MEGABYTE // len(piece))) is None
    assert last_linked_picture("![](" + piece * (MEGABYTE // len(piece))) is None
