"""Reading a clip's facts from its bytes as they stream by."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path
from tempfile import NamedTemporaryFile

import av
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flow2api_poller_service.mp4 import ClipFacts, ClipInspector, NotAClip


def clip(width: int = 64, height: int = 48, frames: int = 24, *, options: dict[str, str] | None = None) -> bytes:
    # A file by name: to put the index first, the writer reads its own file again.
    with NamedTemporaryFile(suffix=".mp4") as file, av.open(file.name, "w", options=options or {}) as container:
        stream = container.add_stream("mpeg4", rate=12)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for _ in range(frames):
            frame = av.VideoFrame(width, height, "yuv420p")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
        container.close()
        return Path(file.name).read_bytes()


CLIP = clip()


def inspect(data: bytes, piece: int = 1 << 16) -> ClipFacts:
    inspector = ClipInspector()
    for start in range(0, len(data), piece):
        inspector.feed(data[start : start + piece])
    return inspector.finish()


@pytest.mark.parametrize("options", [{}, {"movflags": "faststart"}], ids=["index last", "index first"])
def test_reads_size_and_length(options: dict[str, str]) -> None:
    assert inspect(clip(320, 180, options=options)) == ClipFacts(width=320, height=180, duration_ms=2000)


@given(piece=st.integers(min_value=1, max_value=len(CLIP)))
def test_does_not_mind_how_the_bytes_are_cut(piece: int) -> None:
    assert inspect(CLIP, piece) == ClipFacts(width=64, height=48, duration_ms=2000)


@pytest.mark.parametrize(
    "kept", [4, 40, len(CLIP) // 2, len(CLIP) - 1], ids=["a bit of the first box", "a box", "half", "all but a byte"]
)
def test_notices_a_clip_that_is_cut_off(kept: int) -> None:
    with pytest.raises(NotAClip):
        inspect(CLIP[:kept])


@pytest.mark.parametrize(
    "data", [b"", b"<html>error</html>", b"\x89PNG\r\n\x1a\n" + bytes(64), b'{"error": {"code": 404}}']
)
def test_notices_what_is_no_clip(data: bytes) -> None:
    with pytest.raises(NotAClip):
        inspect(data)


def test_notices_a_clip_without_an_index() -> None:
    with pytest.raises(NotAClip):
        inspect(box(b"ftyp", b"isom") + box(b"mdat", bytes(100)))


def test_reads_long_boxes_and_a_last_box_without_a_length() -> None:
    moov = CLIP[CLIP.index(b"moov") - 4 :]
    long_free = struct.pack(">I4sQ", 1, b"free", 16 + 10) + bytes(10)
    endless = struct.pack(">I4s", 0, b"mdat") + bytes(5000)
    assert inspect(box(b"ftyp", b"isom") + long_free + moov + endless, 7).width == 64


def test_turns_the_size_of_a_clip_that_is_shown_turned() -> None:
    turned = bytearray(CLIP)
    matrix = turned.index(b"tkhd") + 4 + 40
    struct.pack_into(">9i", turned, matrix, 0, 1 << 16, 0, -(1 << 16), 0, 0, 0, 0, 1 << 30)
    assert inspect(bytes(turned)) == ClipFacts(width=48, height=64, duration_ms=2000)


@given(data=st.binary(max_size=400))
def test_never_fails_in_another_way(data: bytes) -> None:
    for body in (data, box(b"ftyp", b"isom") + box(b"moov", data) + box(b"mdat", b"x")):
        try:
            inspect(body)
        except NotAClip:
            continue


def test_keeps_no_more_than_the_index(measured: Callable[[ClipInspector], int]) -> None:
    inspector = ClipInspector()
    inspector.feed(box(b"ftyp", b"isom") + struct.pack(">I4s", 8 + 64 * 1024 * 1024, b"mdat"))
    chunk = bytes(1024 * 1024)
    for _ in range(64):
        inspector.feed(chunk)
    assert measured(inspector) < 1024


@pytest.fixture
def measured() -> Callable[[ClipInspector], int]:
    return lambda inspector: len(inspector._moov) + len(inspector._header)


def box(kind: bytes, payload: bytes) -> bytes:
    return struct.pack(">I4s", 8 + len(payload), kind) + payload
