"""The MIME type that bytes really have.

Source: docs/upstream/flow.md, section 6, for pictures; HEIC/HEIF and MP4 by their ``ftyp`` brand (ISO 14496-12).
"""

_HEIF_BRANDS = {b"heic": "image/heic", b"heix": "image/heic", b"mif1": "image/heif", b"msf1": "image/heif"}


def sniff_mime_type(content: bytes) -> str | None:
    """The type by magic bytes; ``None`` when they are not media that the sandbox knows."""
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        return "image/webp"
    for magic, mime_type in (
        (b"\x89PNG", "image/png"),
        (b"\xff\xd8\xff", "image/jpeg"),
        (b"GIF87a", "image/gif"),
        (b"GIF89a", "image/gif"),
        (b"BM", "image/bmp"),
        (b"\x00\x00\x00\x0cjP", "image/jp2"),
    ):
        if content.startswith(magic):
            return mime_type
    if content[4:8] == b"ftyp":
        return _HEIF_BRANDS.get(content[8:12], "video/mp4")
    return None
