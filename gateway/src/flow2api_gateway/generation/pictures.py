"""Input pictures: where they come from, checked and made ready for a gRPC request."""

from __future__ import annotations

import asyncio
import base64
import binascii
import io
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final, TypeVar

from PIL import Image, UnidentifiedImageError

from flow2api_common.errors import FieldViolation, InvalidArgument, NotFound
from flow2api_common.grpc_client import rpc_errors
from flow2api_common.logs import get_logger
from flow2api_common.media_types import image_mime_type
from flow2api_gateway.edge.kept_pictures import KeptPicture, kept_picture
from flow2api_gateway.edge.uploaded_files import UploadedFile
from flow2api_gateway.generation.picture_metadata import DamagedPicture, without_metadata
from flow2api_proto.generation.v1 import generation_service_pb2, media_pb2

if TYPE_CHECKING:
    from flow2api_gateway.gateway import Gateway

INLINE_BYTES: Final = 1 << 20
CHUNK_BYTES: Final = 1 << 20
_UPLOAD_SECONDS: Final = 120.0
_FORMATS: Final = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "JPEG2000")
_DATA_URL: Final = "data:"
_DECODE_INLINE_CHARS: Final = 1 << 20
T = TypeVar("T")
log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class PictureSource:
    """Where an input picture comes from: one of ``url``, ``content``, ``file``, ``media_id``.

    ``param`` is the client's path to it; a ``url`` may be the name of a `KeptPicture`. An ``implied`` one was not named
    by this request but found in the conversation; it is left out when it cannot be had.
    """

    param: str
    url: str = ""
    content: bytes = field(default=b"", repr=False)
    file: UploadedFile | KeptPicture | None = None
    media_id: str = ""
    role: media_pb2.InputImageRole.ValueType = media_pb2.INPUT_IMAGE_ROLE_UNSPECIFIED
    implied: bool = False

    @property
    def waiting_file(self) -> UploadedFile | KeptPicture | None:
        """The file in which it waits to be taken; nothing when it is in memory or elsewhere."""
        return self.file or kept_picture(self.url)

    @property
    def size_bytes(self) -> int:
        """How large it is as the client sent it; 0 when it is not here yet."""
        file = self.waiting_file
        if file is not None:
            return file.size_bytes
        return len(self.content) or (len(self.url) if self.url.startswith(_DATA_URL) else 0)


async def input_images(
    gateway: Gateway, sources: Sequence[PictureSource], *, api_key_id: str
) -> list[media_pb2.InputImage]:
    """The pictures in order, fetched at the same time; large ones are uploaded first, a few at a time.

    Raises InvalidArgument naming the picture's param: INVALID_IMAGE_URL, INVALID_IMAGE, IMAGE_TOO_LARGE.
    """
    if sum(source.size_bytes for source in sources) > INLINE_BYTES:
        handed_over = await _gathered([_handed_over(gateway, source, api_key_id) for source in sources])
        return [picture for picture in handed_over if picture is not None]
    loaded = await _gathered([_load(gateway, source) for source in sources])
    pictures = [picture for picture in loaded if picture is not None]
    if sum(len(picture.content) for picture in pictures) <= INLINE_BYTES:
        return [_inline(picture) for picture in pictures]
    return await _gathered([_uploaded(gateway, picture, api_key_id) for picture in pictures])


async def _handed_over(gateway: Gateway, source: PictureSource, api_key_id: str) -> media_pb2.InputImage | None:
    """The picture as a stored file. One that the client has sent waits for its turn, out of memory if it is a file; one
    that has to be fetched does not, lest a slow server keeps the others waiting."""
    async with gateway.large_picture_turns if source.size_bytes else nullcontext():
        picture = await _load(gateway, source)
        return None if picture is None else await _uploaded(gateway, picture, api_key_id)


async def _load(gateway: Gateway, source: PictureSource) -> PictureSource | None:
    """The source with its bytes, or as a stored file; nothing for an implied one that cannot be had."""
    try:
        return await _resolved(gateway, source)
    except (InvalidArgument, NotFound) as error:
        if not source.implied:
            raise
        log.info("implied_picture_left_out", reason=error.reason)
        return None


async def _resolved(gateway: Gateway, source: PictureSource) -> PictureSource:
    if source.media_id:
        return await _stored(gateway, source)
    content = source.content
    if (file := source.waiting_file) is not None:
        content = await file.take()
    elif not content:
        if source.url.startswith(_DATA_URL):
            content = await decode_data_url(source.url, param=source.param)
        elif media_id := gateway.links.own_media_id(source.url):
            return await _stored(gateway, replace(source, media_id=media_id))
        elif gateway.links.is_on_our_host(source.url):
            raise InvalidArgument.of(source.param, "The link is not valid.", reason="INVALID_IMAGE_URL")
        else:
            content = await gateway.fetcher.fetch(source.url, param=source.param)
    settings = gateway.settings
    clean = await asyncio.to_thread(
        clean_picture,
        content,
        max_bytes=settings.max_image_bytes,
        max_pixels=settings.max_image_pixels,
        param=source.param,
    )
    return PictureSource(param=source.param, content=clean, role=source.role)


async def _stored(gateway: Gateway, source: PictureSource) -> PictureSource:
    """A stored file, which is there and is a picture. Raises NotFound MEDIA_NOT_FOUND naming the param, and
    InvalidArgument."""
    request = generation_service_pb2.GetMediaRequest(media_id=source.media_id)
    try:
        with rpc_errors("generation"):
            answer = await gateway.peers.generation.GetMedia(request)
    except NotFound as error:
        error.violations = (FieldViolation(source.param, error.message),)
        raise
    if not answer.media.content_type.startswith("image/"):
        raise InvalidArgument.of(source.param, "The file is not a picture.", reason="INVALID_IMAGE")
    return replace(source, url="")


async def decode_data_url(url: str, *, param: str) -> bytes:
    """The bytes of ``data:image/png;base64,…``; both alphabets, with or without padding. Raises InvalidArgument."""
    head, comma, text = url.partition(",")
    if not comma or not head.lower().endswith(";base64"):
        raise InvalidArgument.of(
            param, "The data URL is not valid. Use 'data:image/png;base64,…'.", reason="INVALID_IMAGE_URL"
        )
    try:
        if len(text) <= _DECODE_INLINE_CHARS:
            return decode_base64(text)
        return await asyncio.to_thread(decode_base64, text)
    except (binascii.Error, ValueError) as exc:
        raise InvalidArgument.of(param, "The data URL is not valid base64.", reason="INVALID_IMAGE_URL") from exc


def decode_base64(text: str) -> bytes:
    """Base64 in the standard or the URL-safe alphabet. Raises ValueError."""
    raw = "".join(text.split()).rstrip("=").encode("ascii").translate(bytes.maketrans(b"-_", b"+/"))
    return base64.b64decode(raw + b"=" * (-len(raw) % 4), validate=True)


def check_picture(content: bytes, *, max_bytes: int, max_pixels: int, param: str) -> None:
    """Raises InvalidArgument unless this is a picture within the bounds; only its header is read."""
    if len(content) > max_bytes:
        raise InvalidArgument.of(param, f"The picture is larger than {max_bytes} bytes.", reason="IMAGE_TOO_LARGE")
    if image_mime_type(content) is None:
        raise InvalidArgument.of(param, "The file is not a picture that we know.", reason="INVALID_IMAGE")
    try:
        with Image.open(io.BytesIO(content), formats=_FORMATS) as picture:
            pixels = picture.width * picture.height
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        pixels = max_pixels + 1
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError) as exc:
        raise InvalidArgument.of(param, "The picture cannot be read.", reason="INVALID_IMAGE") from exc
    if pixels > max_pixels:
        raise InvalidArgument.of(param, f"The picture has more than {max_pixels} pixels.", reason="IMAGE_TOO_LARGE")


def clean_picture(content: bytes, *, max_bytes: int, max_pixels: int, param: str) -> bytes:
    """The picture without what it tells about who took it and where. Raises what `check_picture` raises."""
    check_picture(content, max_bytes=max_bytes, max_pixels=max_pixels, param=param)
    try:
        return without_metadata(content)
    except DamagedPicture as exc:
        raise InvalidArgument.of(param, "The picture is damaged or cut off.", reason="INVALID_IMAGE") from exc


def _inline(picture: PictureSource) -> media_pb2.InputImage:
    if picture.media_id:
        return media_pb2.InputImage(media_id=picture.media_id, role=picture.role)
    return media_pb2.InputImage(data=picture.content, role=picture.role)


async def _uploaded(gateway: Gateway, picture: PictureSource, api_key_id: str) -> media_pb2.InputImage:
    if picture.media_id:
        return _inline(picture)
    media = await upload_picture(gateway, picture.content, api_key_id=api_key_id, file_name="input")
    return media_pb2.InputImage(media_id=media.media_id, role=picture.role)


async def upload_picture(gateway: Gateway, content: bytes, *, api_key_id: str, file_name: str) -> media_pb2.Media:
    """Store a picture for later requests. Raises InvalidArgument INVALID_IMAGE on ``input_images``."""
    with rpc_errors("generation"):
        answer = await gateway.peers.generation.UploadMedia(
            _upload_messages(content, api_key_id, file_name), timeout=_UPLOAD_SECONDS
        )
    return answer.media


async def _upload_messages(
    content: bytes, api_key_id: str, file_name: str
) -> AsyncIterator[generation_service_pb2.UploadMediaRequest]:
    description = generation_service_pb2.UploadDescription(api_key_id=api_key_id, file_name=file_name)
    yield generation_service_pb2.UploadMediaRequest(description=description)
    for start in range(0, len(content), CHUNK_BYTES):
        chunk = content[start : start + CHUNK_BYTES]
        yield generation_service_pb2.UploadMediaRequest(chunk=chunk)


async def _gathered(work: Sequence[Coroutine[Any, Any, T]]) -> list[T]:
    """All results in order. The first error ends the others and is raised itself, not in a group."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one, name="input-picture") for one in work]
    except BaseExceptionGroup as failures:
        raise failures.exceptions[0] from None
    return [task.result() for task in tasks]
