"""Ids, keys, media types, the clock."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from pydantic import SecretStr

from flow2api_common.clock import utc_now
from flow2api_common.ids import new_id
from flow2api_common.keys import derive_key
from flow2api_common.media_types import extension_of, image_mime_type, is_mp4


class TestIds:
    def test_the_form(self) -> None:
        assert re.fullmatch(r"video_[0-9a-f]{32}", new_id("video"))
        assert re.fullmatch(r"video_[0-9a-f]{32}", new_id("video_"))
        assert re.fullmatch(r"[0-9a-f]{32}", new_id())

    def test_it_is_a_uuid_of_version_7(self) -> None:
        digits = new_id()
        assert digits[12] == "7"
        assert digits[16] in "89ab"

    def test_they_sort_by_time(self, monkeypatch: pytest.MonkeyPatch) -> None:
        now = 1_700_000_000_000_000_000
        ids: list[str] = []
        for _ in range(5000):
            now += 250
            monkeypatch.setattr("time.time_ns", lambda now=now: now)
            ids.append(new_id())
        assert ids == sorted(ids)

    def test_they_differ_within_one_moment(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("time.time_ns", lambda: 1_700_000_000_000_000_000)
        assert len({new_id() for _ in range(1000)}) == 1000


class TestKeys:
    SECRET = SecretStr("0123456789abcdef")

    def test_the_same_arguments_give_the_same_key(self) -> None:
        assert derive_key(self.SECRET, "media") == derive_key(SecretStr("0123456789abcdef"), "media")

    def test_another_purpose_or_secret_gives_another(self) -> None:
        keys = {derive_key(self.SECRET, "a"), derive_key(self.SECRET, "b"), derive_key(SecretStr("other" * 4), "a")}
        assert len(keys) == 3

    @pytest.mark.parametrize("length", [16, 32, 64])
    def test_the_length_is_as_asked(self, length: int) -> None:
        assert len(derive_key(self.SECRET, "a", length)) == length


class TestMediaTypes:
    @pytest.mark.parametrize(
        ("data", "mime_type"),
        [
            (b"\x89PNG\r\n\x1a\n....", "image/png"),
            (b"\xff\xd8\xff\xe0....", "image/jpeg"),
            (b"GIF89a..", "image/gif"),
            (b"GIF87a..", "image/gif"),
            (b"RIFF\x00\x00\x00\x00WEBPVP8 ", "image/webp"),
            (b"BM......", "image/bmp"),
            (b"\x00\x00\x00\x0cjP  \r\n", "image/jp2"),
            (b"RIFF\x00\x00\x00\x00WAVE", None),
            (b"<svg xmlns=", None),
            (b"", None),
        ],
    )
    def test_by_the_first_bytes(self, data: bytes, mime_type: str | None) -> None:
        assert image_mime_type(data) == mime_type

    def test_an_mp4_is_known_by_its_first_box(self) -> None:
        assert is_mp4(b"\x00\x00\x00\x20ftypisom")
        assert not is_mp4(b"\x00\x00\x00\x20moov")
        assert not is_mp4(b"")

    @pytest.mark.parametrize(
        ("mime_type", "extension"),
        [("image/png", "png"), ("IMAGE/JPEG; q=1", "jpg"), ("video/mp4", "mp4"), ("text/html", "bin")],
    )
    def test_extensions(self, mime_type: str, extension: str) -> None:
        assert extension_of(mime_type) == extension


def test_the_clock_is_aware() -> None:
    assert utc_now().utcoffset() == timedelta(0)
