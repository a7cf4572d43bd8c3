"""Size and length of a clip by its bytes."""

import io
from dataclasses import dataclass

import av


@dataclass(frozen=True, slots=True)
class ClipShape:
    """Pixels and whole seconds (rounded)."""

    width: int
    height: int
    seconds: int


def measure_clip(content: bytes) -> ClipShape | None:
    """The shape; ``None`` when it is no MP4 with a picture. Raises nothing; takes milliseconds of work."""
    try:
        with av.open(io.BytesIO(content), mode="r", format="mp4") as container:
            if not container.streams.video or container.duration is None:
                return None
            stream = container.streams.video[0]
            return ClipShape(stream.width, stream.height, round(container.duration / av.time_base))
    except (av.FFmpegError, ValueError):
        return None
