"""Frames of a clip, and the two pictures that are made of them. Runs in the decoder's process alone."""

from __future__ import annotations

import io
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from fractions import Fraction
from typing import BinaryIO, Final

import av
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from PIL import Image

from flow2api_poller_service.stills.wire import Playability, Still, Stills

THUMBNAIL_SIDE: Final = 640
"""Longest side of a thumbnail in pixels."""
TILE_SIDE: Final = 256
"""Longest side of one frame in the sheet."""
TILES_A_SIDE: Final = 4
"""The sheet has four rows of four frames, from the beginning to the end of the clip."""

_TILE_COUNT: Final = TILES_A_SIDE * TILES_A_SIDE
_LARGEST_FRAME: Final = 8192 * 4608
_LONG_CLIP_SECONDS: Final = 60
_MICROSECOND: Final = Fraction(1, 1_000_000)
_DECODING_BUDGET: Final = timedelta(seconds=8)
"""After this the frames so far are enough."""
_FLAT: Final = 24
"""A frame whose lightest and darkest points are no further apart shows nothing, such as a fade from black."""


@dataclass(slots=True)
class _Samples:
    """Frames spread over the clip; all but the thumbnail are small already."""

    tiles: list[Image.Image] = field(default_factory=list)
    thumbnail: Image.Image | None = None
    has_content: bool = False

    def take(self, frame: VideoFrame) -> None:
        tile = _picture(frame, TILE_SIDE)
        self.tiles.append(tile)
        has_content = not _is_flat(tile)
        if self.thumbnail is None or (has_content and not self.has_content):
            self.thumbnail = _picture(frame, THUMBNAIL_SIDE)
            self.has_content = has_content


def stills_of(clip: BinaryIO) -> Stills:
    """Decode a clip as far as its stills need. Never raises for what is wrong with the clip."""
    samples = _Samples()
    try:
        with av.open(clip, mode="r", format="mp4") as container:
            if not container.streams.video:
                return Stills(Playability.BROKEN)
            stream = container.streams.video[0]
            if not _has_decoder(stream):
                return Stills(Playability.UNKNOWN)
            stream.thread_type = "NONE"
            _sample(stream, container.duration, samples)
    except (av.FFmpegError, ValueError):
        # What was decoded before the damage can be shown.
        if not samples.tiles:
            return Stills(Playability.BROKEN)
    if not samples.tiles or samples.thumbnail is None:
        return Stills(Playability.BROKEN)
    return Stills(
        Playability.PLAYABLE,
        thumbnail=_encoded(samples.thumbnail, "WEBP", quality=80),
        spritesheet=_encoded(_sheet(samples.tiles), "JPEG", quality=80),
    )


def _has_decoder(stream: VideoStream) -> bool:
    # PyAV leaves it out where FFmpeg knows the codec of a track, but not how to decode it.
    return getattr(stream, "codec_context", None) is not None


def _sample(stream: VideoStream, duration: int | None, samples: _Samples) -> None:
    seconds = float(duration * _MICROSECOND) if duration else 0.0
    if seconds > _LONG_CLIP_SECONDS:
        stream.codec_context.skip_frame = "NONKEY"
    enough = time.monotonic() + _DECODING_BUDGET.total_seconds()
    for frame in _frames(stream):
        at = frame.time or 0.0
        if at >= len(samples.tiles) * seconds / _TILE_COUNT:
            samples.take(frame)
        if len(samples.tiles) == _TILE_COUNT or time.monotonic() >= enough:
            return


def _frames(stream: VideoStream) -> Iterator[VideoFrame]:
    for frame in stream.container.decode(stream):  # type: ignore[attr-defined]  # an input container, as it was opened
        if frame.width * frame.height > _LARGEST_FRAME:
            raise ValueError("frames are too large")
        yield frame


def _picture(frame: VideoFrame, side: int) -> Image.Image:
    """The frame upright, its longest side that long or less."""
    scale = min(1.0, side / max(frame.width, frame.height))
    small = frame.reformat(
        width=max(2, round(frame.width * scale)), height=max(2, round(frame.height * scale)), format="rgb24"
    )
    picture: Image.Image = small.to_image()  # type: ignore[no-untyped-call]  # PyAV leaves it untyped
    return picture.rotate(frame.rotation, expand=True) if frame.rotation else picture


def _is_flat(picture: Image.Image) -> bool:
    darkest, lightest = picture.convert("L").getextrema()
    return bool(lightest - darkest <= _FLAT)  # type: ignore[operator]  # two numbers, for one band


def _sheet(tiles: list[Image.Image]) -> Image.Image:
    width, height = tiles[0].size
    rows = -(-len(tiles) // TILES_A_SIDE)
    sheet = Image.new("RGB", (width * min(len(tiles), TILES_A_SIDE), height * rows))
    for index, tile in enumerate(tiles):
        row, column = divmod(index, TILES_A_SIDE)
        sheet.paste(
            tile.resize((width, height)) if tile.size != (width, height) else tile, (column * width, row * height)
        )
    return sheet


def _encoded(picture: Image.Image, picture_format: str, *, quality: int) -> Still:
    out = io.BytesIO()
    picture.save(out, picture_format, quality=quality)
    return Still(out.getvalue(), picture.width, picture.height)
