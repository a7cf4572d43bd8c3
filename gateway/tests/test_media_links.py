"""Signed links: what opens, what does not."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, urlsplit

import pytest

from flow2api_common.errors import PermissionDenied
from flow2api_gateway.media.links import MediaLink, MediaLinks

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


class Clock:
    """A clock that is turned by hand."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def links(clock: Clock) -> MediaLinks:
    return MediaLinks(key=b"k" * 32, base_url="https://gw.example/", lifetime=timedelta(hours=1), clock=clock)


def parsed(url: str) -> MediaLink:
    parts = urlsplit(url)
    query = parse_qs(parts.query)
    return MediaLink(
        media_id=parts.path.rpartition("/")[2],
        expires=query["exp"][0],
        variant=query.get("as", [""])[0],
        signature=query["sig"][0],
    )


def changed(link: MediaLink, **fields: str) -> MediaLink:
    values = {
        "media_id": link.media_id,
        "expires": link.expires,
        "variant": link.variant,
        "signature": link.signature,
    }
    return MediaLink(**(values | fields))


def test_a_link_is_absolute_and_opens(links: MediaLinks) -> None:
    url = links.url_of("abc123")
    assert url.startswith("https://gw.example/media/abc123?")
    links.check(parsed(url))


@pytest.mark.parametrize(
    "change",
    [
        {"media_id": "abc124"},
        {"expires": "99999999999"},
        {"variant": "webp-80"},
        {"signature": "A" * 32},
        {"signature": ""},
        {"expires": ""},
        {"expires": "-1"},
        {"expires": "1e9"},
        {"expires": "²"},
    ],
)
def test_a_changed_link_is_refused(links: MediaLinks, change: dict[str, str]) -> None:
    with pytest.raises(PermissionDenied) as caught:
        links.check(changed(parsed(links.url_of("abc123")), **change))
    assert caught.value.reason == "LINK_INVALID"


def test_a_link_expires(links: MediaLinks, clock: Clock) -> None:
    link = parsed(links.url_of("abc123"))
    clock.now += timedelta(hours=1)
    with pytest.raises(PermissionDenied) as caught:
        links.check(link)
    assert caught.value.reason == "LINK_EXPIRED"


def test_a_link_does_not_outlive_its_file(links: MediaLinks, clock: Clock) -> None:
    link = parsed(links.url_of("abc123", expire_time=NOW + timedelta(minutes=5)))
    clock.now += timedelta(minutes=6)
    with pytest.raises(PermissionDenied):
        links.check(link)


def test_another_key_signs_otherwise(links: MediaLinks, clock: Clock) -> None:
    other = MediaLinks(key=b"o" * 32, base_url="https://gw.example", lifetime=timedelta(hours=1), clock=clock)
    with pytest.raises(PermissionDenied):
        links.check(parsed(other.url_of("abc123")))


def test_our_own_link_is_known_in_a_conversation(links: MediaLinks, clock: Clock) -> None:
    url = links.url_of("abc123")
    clock.now += timedelta(days=30)
    assert links.own_media_id(url) == "abc123"
    assert links.own_media_id(url.replace("https://gw.example", "http://old-name.example")) == "abc123"


@pytest.mark.parametrize(
    "url",
    [
        "https://gw.example/media/abc123",
        "https://gw.example/media/abc123?exp=99999999999&sig=AAAA",
        "https://gw.example/media/../../etc?exp=1&sig=x",
        "https://elsewhere.example/picture.png",
        "https://[",
        "https://[::1/media/abc123?exp=1&sig=x",
    ],
)
def test_other_links_are_not_ours(links: MediaLinks, url: str) -> None:
    assert links.own_media_id(url) is None
