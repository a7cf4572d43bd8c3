"""Keys, files and models that the fakes know."""

from __future__ import annotations

import io

from PIL import Image

from flow2api_proto.generation.v1 import (
    model_pb2,
)

API_KEY = "sk-good-key-0123456789"
SESSION = "session-good"
MP4 = b"\x00\x00\x00\x18ftypmp42" + bytes(range(256)) * 40


def picture(width: int = 64, height: int = 36, color: str = "red", kind: str = "PNG") -> bytes:
    """A real picture."""
    output = io.BytesIO()
    Image.new("RGB", (width, height), color).save(output, kind)
    return output.getvalue()


MODELS = [
    model_pb2.Model(
        model_id="gemini-3.1-flash-image",
        display_name="Flash",
        modality=model_pb2.MODALITY_IMAGE,
        aspect_ratios=["16:9", "9:16", "1:1"],
        resolutions=["1K", "2K"],
        max_input_images=3,
    ),
    model_pb2.Model(
        model_id="text-only/image", modality=model_pb2.MODALITY_IMAGE, aspect_ratios=["16:9"], resolutions=["1K"]
    ),
    model_pb2.Model(
        model_id="veo-3.1-fast",
        modality=model_pb2.MODALITY_VIDEO,
        aspect_ratios=["16:9", "9:16"],
        resolutions=["720p", "1080p"],
        durations_seconds=[8, 4],
        max_input_images=2,
        shutdown_date="2027-01-01",
    ),
]
