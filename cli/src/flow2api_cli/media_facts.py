"""What a media file really is, found by decoding it.

The decoders are large and are loaded when something is decoded: most commands have no use for them.
"""

from __future__ import annotations

import io
from dataclasses import dataclass

_AV_TIME_BASE = 1_000_000


class MediaBroken(RuntimeError):
    """The bytes do not decode, or are not what was asked for."""


@dataclass(frozen=True, slots=True)
class PictureFacts:
    """A decoded picture."""

    format: str
    width: int
    height: int

    @property
    def suffix(self) -> str:
        return {"JPEG": ".jpg"}.get(self.format, f".{self.format.lower()}")


@dataclass(frozen=True, slots=True)
class ClipFacts:
    """A decoded clip; ``frame_count`` frames really came out of the decoder."""

    width: int
    height: int
    seconds: float
    frame_count: int


def picture_facts(content: bytes) -> PictureFacts:
    """Decode a whole picture. Raises MediaBroken."""
    from PIL import Image

    try:
        with Image.open(io.BytesIO(content)) as picture:
            picture.load()
            return PictureFacts(str(picture.format), picture.width, picture.height)
    except (OSError, ValueError, SyntaxError) as exc:
        raise MediaBroken(f"the picture does not decode: {exc}") from exc


def clip_facts(content: bytes) -> ClipFacts:
    """Decode every frame of a clip. Raises MediaBroken."""
    import av

    try:
        with av.open(io.BytesIO(content), mode="r") as container:
            if not container.streams.video:
                raise MediaBroken("the clip has no picture track")
            stream = container.streams.video[0]
            frame_count = len([None for _frame in container.decode(stream)])
            seconds = (container.duration or 0) / _AV_TIME_BASE
            facts = ClipFacts(stream.codec_context.width, stream.codec_context.height, seconds, frame_count)
    except (av.FFmpegError, OSError) as exc:
        raise MediaBroken(f"the clip does not decode: {exc}") from exc
    if frame_count == 0:
        raise MediaBroken("the clip has no frame")
    return facts
