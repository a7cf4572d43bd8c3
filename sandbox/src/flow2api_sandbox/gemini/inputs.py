"""Pictures that a request brings along: inside it or by a file's URI.

Source: docs/upstream/google-official.md, sections 2, 5 and 9.
"""

import io

from PIL import Image

from flow2api_sandbox.calls import Call
from flow2api_sandbox.credentials import Caller
from flow2api_sandbox.errors import ApiError
from flow2api_sandbox.gemini.files import find_file
from flow2api_sandbox.media.recipes import ClipRecipe, StoredFile
from flow2api_sandbox.media.sniff import sniff_mime_type
from flow2api_sandbox.wire import decode_base64

IMAGE_TYPES = frozenset({"image/png", "image/jpeg", "image/webp", "image/heic", "image/heif"})
INTERACTION_IMAGE_TYPES = IMAGE_TYPES | {"image/gif", "image/bmp", "image/tiff"}
VIDEO_TYPES = frozenset(
    {f"video/{name}" for name in ("mp4", "mpeg", "mov", "avi", "x-flv", "webm", "wmv", "3gpp", "quicktime")}
)

AUDIO_TYPES = frozenset({f"audio/{name}" for name in ("wav", "mp3", "mpeg", "aac", "flac", "ogg", "aiff")})


def check_inline(
    call: Call, *, mime_type: str, data: str, allowed: frozenset[str], bytes_at_most: int | None = None
) -> bytes:
    """The bytes of a file inside the request. Raises ApiError 400 when they are not what they are said to be."""
    if mime_type not in allowed:
        raise ApiError(400, f"Unsupported MIME type: {mime_type}")
    try:
        content = decode_base64(data, url_safe_too=True)
    except ValueError as exc:
        raise ApiError(400, "Invalid value at 'data' (TYPE_BYTES), Base64 decoding failed.") from exc
    limit = bytes_at_most or call.world.settings.max_image_bytes
    if len(content) > limit:
        raise ApiError(400, f"Request payload size exceeds the limit: {limit} bytes.")
    if mime_type in IMAGE_TYPES | {"image/gif", "image/bmp"} and sniff_mime_type(content) != mime_type:
        raise ApiError(400, "Unable to process input image. Please retry or report in the Gemini forum.")
    return content


async def read_file_uri(
    call: Call, caller: Caller, uri: str, mime_type: str | None, allowed: frozenset[str]
) -> bytes | None:
    """The bytes of a usable file of this key; ``None`` for a generated clip. Raises ApiError 400, 403."""
    file_id = uri.rsplit("/files/", 1)[-1].removesuffix("?alt=media").removesuffix(":download")
    file = find_file(call, caller, file_id) if "/files/" in uri else None
    if file is None:
        # The real service hides whether a file exists: 403 for a strange one.
        raise ApiError(403, f"You do not have permission to access the File {file_id} or it may not exist.")
    if file.active_at > call.world.clock.now():
        raise ApiError(400, f"The File {file_id} is not in an ACTIVE state.", status="FAILED_PRECONDITION")
    found = file.recipe.mime_type
    if found not in allowed or mime_type not in (None, found):
        raise ApiError(400, f"Unsupported MIME type: {mime_type or found}")
    if isinstance(file.recipe, ClipRecipe):
        return None
    return file.recipe.content if isinstance(file.recipe, StoredFile) else b""


def pixel_size_of(content: bytes) -> tuple[int, int] | None:
    """Width and height of a picture; ``None`` when Pillow cannot read it. Raises nothing."""
    try:
        with Image.open(io.BytesIO(content)) as image:
            return image.size
    except OSError:
        return None
