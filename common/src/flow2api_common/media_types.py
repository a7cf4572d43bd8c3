"""What a file is, by its first bytes. What a sender says about it is not believed."""

from __future__ import annotations

_EXTENSIONS = {
    "image/png": "png",
    "image/jpeg": "jpg",
    "image/gif": "gif",
    "image/webp": "webp",
    "image/bmp": "bmp",
    "image/jp2": "jp2",
    "video/mp4": "mp4",
}


def image_mime_type(data: bytes) -> str | None:
    """The MIME type of a picture, or nothing when it is none that we take.

    Source: docs/upstream/flow.md, section 6 (upload of images).
    """
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "image/png"
    if data.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    if data.startswith((b"GIF87a", b"GIF89a")):
        return "image/gif"
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "image/webp"
    if data.startswith(b"BM"):
        return "image/bmp"
    if data.startswith(b"\x00\x00\x00\x0cjP"):
        return "image/jp2"
    return None


def is_mp4(data: bytes) -> bool:
    """Whether these are the first bytes of an MP4 file: its first box is ``ftyp`` (ISO/IEC 14496-12, section 4.3)."""
    return data[4:8] == b"ftyp"


def extension_of(mime_type: str) -> str:
    """The usual file name extension without a dot; ``bin`` for a type that we do not store."""
    return _EXTENSIONS.get(mime_type.partition(";")[0].strip().lower(), "bin")
