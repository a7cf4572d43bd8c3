"""What a picture tells about who took it and where, taken out; its pixels stay as they are.

JPEG, PNG and WebP lose their metadata (EXIF, XMP, IPTC, texts, whatever follows the picture) without being encoded
anew; how the picture is to be turned stays. Other kinds become PNG. Colour profiles stay.
Source: ITU-T T.81, annex B (JPEG); W3C PNG, section 11 (chunks); RFC 9649 (WebP); CIPA DC-008, section 4.6 (EXIF).
"""

from __future__ import annotations

import io
import re
import struct
import zlib
from collections.abc import Callable
from typing import Final

from PIL import Image

from flow2api_common.media_types import image_mime_type

_ORIENTATION: Final = 0x0112
_EXIF_HEAD: Final = b"Exif\0\0"
# APP1 holds EXIF and XMP, APP13 IPTC, APP2 an ICC profile or the index of further pictures; FE is a comment.
_APP1, _APP2, _COMMENT = 0xE1, 0xE2, 0xFE
_FIRST_APP, _LAST_APP = 0xE0, 0xEF
# JFIF, and Adobe's word on how colours are stored, without which some pictures change theirs.
_NEEDED_APPS: Final = frozenset({0xE0, 0xEE})
_ICC: Final = b"ICC_PROFILE\0"
_SCAN, _END = 0xDA, 0xD9
_STANDALONE: Final = frozenset({0x01, *range(0xD0, 0xD8)})
# Inside a scan, FF is followed by 00 or a restart marker; anything else ends it.
_AFTER_SCAN = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")
_PNG_HEAD: Final = b"\x89PNG\r\n\x1a\n"
_PNG_KEPT: Final = frozenset(
    {b"IHDR", b"PLTE", b"IDAT", b"IEND", b"tRNS", b"cHRM", b"gAMA", b"iCCP", b"sBIT", b"sRGB", b"cICP", b"bKGD"}
)
_WEBP_KNOWN: Final = frozenset({b"VP8 ", b"VP8L", b"VP8X", b"ALPH", b"ANIM", b"ANMF", b"ICCP"})
_VP8X_EXIF, _VP8X_XMP = 0x08, 0x04


class DamagedPicture(Exception):
    """The file is not built as its kind has to be."""


def without_metadata(content: bytes) -> bytes:
    """The same picture, without its metadata. Raises DamagedPicture. Safe to repeat; runs in a thread."""
    clean = _CLEANERS.get(image_mime_type(content) or "", _as_png)
    try:
        return clean(content)
    except (IndexError, struct.error, OSError, SyntaxError, ValueError, Image.DecompressionBombError) as exc:
        raise DamagedPicture from exc


def _clean_jpeg(content: bytes) -> bytes:
    pieces = memoryview(content)
    kept: list[bytes | memoryview] = [content[:2]]
    turned = 1
    position = 2
    while True:
        if content[position] != 0xFF:
            raise DamagedPicture
        marker = content[position + 1]
        if marker == 0xFF:  # Filling.
            position += 1
            continue
        if marker == _END:
            kept.append(content[position : position + 2])
            break
        if marker in _STANDALONE:
            kept.append(content[position : position + 2])
            position += 2
            continue
        (length,) = struct.unpack_from(">H", content, position + 2)
        end = position + 2 + length
        body = content[position + 4 : end]
        if length < 2 or len(body) != length - 2:
            raise DamagedPicture
        if marker == _APP1 and body.startswith(_EXIF_HEAD):
            turned = _orientation(body[len(_EXIF_HEAD) :])
        if _jpeg_keeps(marker, body):
            kept.append(content[position:end])
        position = end
        if marker == _SCAN:
            following = _AFTER_SCAN.search(content, position)
            if following is None:
                raise DamagedPicture
            kept.append(pieces[position : following.start()])
            position = following.start()
    if turned != 1:
        exif = _EXIF_HEAD + _exif_with(turned)
        # After JFIF's own segment, which has to be the first.
        place = 2 if len(kept) > 1 and kept[1][1] == _FIRST_APP else 1
        kept.insert(place, struct.pack(">BBH", 0xFF, _APP1, len(exif) + 2) + exif)
    return b"".join(kept)


def _jpeg_keeps(marker: int, body: bytes) -> bool:
    if marker == _COMMENT:
        return False
    if _FIRST_APP <= marker <= _LAST_APP:
        return marker in _NEEDED_APPS or (marker == _APP2 and body.startswith(_ICC))
    return True


def _clean_png(content: bytes) -> bytes:
    """Texts, times and EXIF are ancillary chunks; an animation's further frames are left out with them."""
    pieces = memoryview(content)
    kept: list[bytes | memoryview] = [_PNG_HEAD]
    exif = b""
    position = len(_PNG_HEAD)
    while True:
        length, kind = struct.unpack_from(">I4s", content, position)
        end = position + 12 + length
        if end > len(content):
            raise DamagedPicture
        if kind == b"eXIf":
            exif = content[position + 8 : position + 8 + length]
        if kind in _PNG_KEPT:
            kept.append(pieces[position:end])
        position = end
        if kind == b"IEND":
            break
    turned = _orientation(exif) if exif else 1
    if turned != 1:
        kept.insert(2, _png_chunk(b"eXIf", _exif_with(turned)))
    return b"".join(kept)


def _png_chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I4s", len(body), kind) + body + struct.pack(">I", zlib.crc32(kind + body))


def _clean_webp(content: bytes) -> bytes:
    (size,) = struct.unpack_from("<I", content, 4)
    if size + 8 > len(content):
        raise DamagedPicture
    chunks: list[tuple[bytes, bytes]] = []
    turned, position = 1, 12
    while position + 8 <= size + 8:
        kind, length = struct.unpack_from("<4sI", content, position)
        body = content[position + 8 : position + 8 + length]
        if len(body) != length:
            raise DamagedPicture
        if kind == b"EXIF":
            turned = _orientation(body.removeprefix(_EXIF_HEAD))
        if kind in _WEBP_KNOWN:
            chunks.append((kind, body))
        position += 8 + length + length % 2
    if chunks and chunks[0][0] == b"VP8X":
        head = bytearray(chunks[0][1])
        head[0] &= ~(_VP8X_EXIF | _VP8X_XMP)
        if turned != 1:
            head[0] |= _VP8X_EXIF
            chunks.append((b"EXIF", _exif_with(turned)))
        chunks[0] = (b"VP8X", bytes(head))
    body = b"".join(struct.pack("<4sI", kind, len(each)) + each + b"\0" * (len(each) % 2) for kind, each in chunks)
    return b"RIFF" + struct.pack("<I", len(body) + 4) + b"WEBP" + body


def _as_png(content: bytes) -> bytes:
    with Image.open(io.BytesIO(content)) as picture:
        output = io.BytesIO()
        plain = picture.convert("RGBA" if picture.has_transparency_data else "RGB")
        plain.info.clear()
        plain.save(output, "PNG")
        return output.getvalue()


def _orientation(exif: bytes) -> int:
    """How a TIFF block says that the picture is to be turned: 1 to 8; 1 when it says nothing that can be read."""
    try:
        order = {b"II": "<", b"MM": ">"}[exif[:2]]
        (offset,) = struct.unpack_from(f"{order}I", exif, 4)
        (count,) = struct.unpack_from(f"{order}H", exif, offset)
        for index in range(count):
            tag, kind, _, value = struct.unpack_from(f"{order}HHIH", exif, offset + 2 + 12 * index)
            if tag == _ORIENTATION and kind == 3 and 1 <= value <= 8:
                return int(value)
    except (KeyError, struct.error):
        pass  # Metadata that cannot be read is as good as none.
    return 1


def _exif_with(orientation: int) -> bytes:
    """A TIFF block that says nothing but the orientation."""
    return struct.pack("<2sHIHHHIHHI", b"II", 42, 8, 1, _ORIENTATION, 3, 1, orientation, 0, 0)


_CLEANERS: Final[dict[str, Callable[[bytes], bytes]]] = {
    "image/jpeg": _clean_jpeg,
    "image/png": _clean_png,
    "image/webp": _clean_webp,
}
