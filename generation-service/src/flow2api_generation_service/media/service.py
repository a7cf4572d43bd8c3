"""Storing files, finding them again, and the pictures that go into generations."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Iterable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import timedelta

from flow2api_common.byte_turns import ByteTurns
from flow2api_common.clock import Clock
from flow2api_common.database import Database
from flow2api_common.errors import DependencyUnavailable, InvalidArgument, NotFound
from flow2api_common.file_bytes import FileBytes
from flow2api_common.ids import new_id
from flow2api_common.logs import get_logger
from flow2api_common.media_store import MediaStore, media_key
from flow2api_generation_service.input_media import needed_input_media
from flow2api_generation_service.media.input_pictures import InputPicture, TooManyBytes, received, whole
from flow2api_generation_service.media.models import MediaRow
from flow2api_generation_service.media.pictures import SAFE_INPUTS, NotAPicture, Picture, as_input, look_at
from flow2api_generation_service.media.repository import MediaRepository
from flow2api_generation_service.settings import MediaRetentionSettings
from flow2api_proto.generation.v1 import media_pb2
from flow2api_upstream.port import MediaHandle, SourceImage

log = get_logger(__name__)

INVALID_IMAGE = "INVALID_IMAGE"
_AT_ONCE = 100


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a generated file came from."""

    generation_id: str = ""
    api_key_id: str = ""
    provider: str = ""
    token_id: int | None = None
    upstream_handle: MediaHandle | None = None


class MediaService:
    """Files with their descriptions. What is stored is complete: first the bytes, then the row."""

    def __init__(
        self, *, database: Database, store: MediaStore, settings: MediaRetentionSettings, clock: Clock
    ) -> None:
        self._database = database
        self._store = store
        self._settings = settings
        self._clock = clock
        self._turns = ByteTurns(settings.upload_bytes_at_once)

    async def put_picture(self, picture: Picture, origin: Origin) -> MediaRow:
        """Store the bytes of a generated picture; the row is the caller's to record, with what else belongs to it."""
        return await self._put(picture, origin, keep=self._settings.media_retention, file_name="")

    async def save_image(self, data: bytes, origin: Origin = Origin()) -> MediaRow:
        """Store a generated picture and its row. Raises NotAPicture, DependencyUnavailable."""
        row = await self.put_picture(await look_at(data), origin)
        await self.record(row)
        return row

    async def save_upload(self, chunks: AsyncIterator[bytes], *, api_key_id: str, file_name: str) -> MediaRow:
        """Store an input picture for later requests. Raises InvalidArgument with INVALID_IMAGE."""
        limit = self._settings.upload_max_bytes
        try:
            content = await received(chunks, max_bytes=limit)
        except TooManyBytes as exc:
            raise _invalid_image(f"The file is larger than {limit // (1024 * 1024)} MiB.") from exc
        # A slow sender keeps nobody waiting: its turn comes when all is there.
        async with self._turns.turn(len(content)) if isinstance(content, FileBytes) else nullcontext():
            row = await self._put(
                await self._looked_at(await whole(content)),
                Origin(api_key_id=api_key_id),
                keep=self._settings.upload_retention,
                file_name=file_name[:255],
            )
        await self.record(row)
        return row

    def new_row(
        self,
        *,
        media_id: str,
        object_key: str,
        content_type: str,
        size_bytes: int,
        width: int = 0,
        height: int = 0,
        duration_ms: int = 0,
        origin: Origin = Origin(),
    ) -> MediaRow:
        """The row of a generated file that somebody else has stored; not yet recorded."""
        now = self._clock()
        return MediaRow(
            media_id=media_id,
            object_key=object_key,
            content_type=content_type,
            size_bytes=size_bytes,
            width=width,
            height=height,
            duration_ms=duration_ms,
            create_time=now,
            expire_time=now + self._settings.media_retention,
            api_key_id=origin.api_key_id,
            generation_id=origin.generation_id,
            provider=origin.provider,
            token_id=origin.token_id,
            upstream_handle=origin.upstream_handle,
        )

    async def record(self, row: MediaRow) -> None:
        """Keep a row in a transaction of its own (in a larger one, use MediaRepository). Safe to repeat."""
        async with self._database.transaction() as session:
            await MediaRepository(session).add(row)

    async def get(self, media_id: str, *, api_key_id: str = "") -> MediaRow:
        """The description of a file. Raises NotFound MEDIA_NOT_FOUND, also when expired or another key's."""
        async with self._database.transaction(read_only=True) as session:
            row = await MediaRepository(session).get(media_id, now=self._clock())
        if row is None or (api_key_id and row.api_key_id and row.api_key_id != api_key_id):
            raise NotFound("The file does not exist or has expired.", reason="MEDIA_NOT_FOUND")
        return row

    async def get_own(self, media_id: str, *, api_key_id: str) -> MediaRow:
        """The description of a file that belongs to this key and to no other. Raises NotFound MEDIA_NOT_FOUND."""
        row = await self.get(media_id, api_key_id=api_key_id)
        if not api_key_id or row.api_key_id != api_key_id:
            raise NotFound("The file does not exist or has expired.", reason="MEDIA_NOT_FOUND")
        return row

    async def list_own(self, api_key_id: str, *, before: str, limit: int) -> Sequence[MediaRow]:
        """The files of a key, newest first; those made before the file ``before`` unless it is empty."""
        async with self._database.transaction(read_only=True) as session:
            return await MediaRepository(session).of_key(api_key_id, before=before, limit=limit, now=self._clock())

    async def load_input(self, media_id: str) -> SourceImage:
        """The bytes of an input picture of a job, also when its time is over: it is kept as long as the job needs it.

        Raises like ``load_picture``.
        """
        picture = await self.load_input_picture(media_id)
        return SourceImage(data=picture.data, mime_type=picture.content_type)

    async def load_input_picture(self, media_id: str) -> InputPicture:
        """The same, looked at."""
        async with self._database.transaction(read_only=True) as session:
            row = await MediaRepository(session).get(media_id, now=None)
        if row is None:
            raise NotFound("An input image of the job does not exist any more.", reason="MEDIA_NOT_FOUND")
        return await self._stored_picture(row)

    async def load_picture(self, image: media_pb2.InputImage, *, api_key_id: str = "") -> InputPicture:
        """An input picture: given inline, or stored (uploaded, or made by us for the same key). A large stored one is
        only opened, and stays readable although the file goes.

        Raises InvalidArgument for ``input_images`` when it is no picture, NotFound MEDIA_NOT_FOUND.
        """
        match image.WhichOneof("source"):
            case "data":
                return _as_input_picture(await self._inline_picture(image.data))
            case "media_id":
                return await self._stored_picture(await self.get(image.media_id, api_key_id=api_key_id))
            case _:
                raise _invalid_image("An input image has neither data nor a media id.")

    async def _stored_picture(self, row: MediaRow) -> InputPicture:
        if row.size_bytes > self._settings.upload_max_bytes:
            raise _invalid_image("The stored file is too large to be an input image.")
        content = await self._store.hold(row.object_key, max_bytes=self._settings.upload_max_bytes)
        if row.content_type in SAFE_INPUTS and row.width and row.height:
            # It was looked at when it was stored.
            return InputPicture(data=content, content_type=row.content_type, width=row.width, height=row.height)
        async with self._turns.turn(len(content)):
            return _as_input_picture(await self._looked_at(await whole(content)))

    async def _inline_picture(self, data: bytes) -> Picture:
        if len(data) > self._settings.upload_max_bytes:
            raise _invalid_image(f"An input image is larger than {self._settings.upload_max_bytes // 2**20} MiB.")
        return await self._looked_at(data)

    async def _looked_at(self, data: bytes) -> Picture:
        try:
            return await as_input(await look_at(data))
        except NotAPicture as exc:
            raise _invalid_image(str(exc)) from exc

    async def store_input(self, image: media_pb2.InputImage, *, api_key_id: str, generation_id: str) -> MediaRow:
        """An input picture as a stored file that a job can refer to: the file itself, or a new one of inline bytes,
        which is the job's own and goes once it is handed in."""
        if image.WhichOneof("source") == "media_id":
            return await self.get(image.media_id, api_key_id=api_key_id)
        if image.WhichOneof("source") != "data":
            raise _invalid_image("An input image has neither data nor a media id.")
        picture = await self._inline_picture(image.data)
        origin = Origin(api_key_id=api_key_id, generation_id=generation_id)
        row = await self._put(picture, origin, keep=self._settings.upload_retention, file_name="")
        await self.record(row)
        return row

    async def delete(self, row: MediaRow) -> None:
        """Let a file go at once, but its bytes not before every job that uses them is handed in. Safe to repeat."""
        async with self._database.transaction() as session:
            await MediaRepository(session).expire([row.media_id], now=self._clock())
        await self.remove_expired([row.media_id])

    async def remove_expired(self, media_ids: Collection[str]) -> None:
        """Remove these files, and what was made of them, where their time is over. What cannot be removed now goes with
        the next clean-up: the rows say so until then."""
        async with self._database.transaction(read_only=True) as session:
            rows = await MediaRepository(session).expired(
                self._clock(), limit=_AT_ONCE, media_ids=media_ids, spared=needed_input_media()
            )
        try:
            await self.remove(rows)
        except DependencyUnavailable as error:
            log.warning("media_removed_later", reason=error.reason)

    async def remove_objects(self, object_keys: Iterable[str]) -> None:
        """Remove bytes that no row names. Raises DependencyUnavailable."""
        for object_key in object_keys:
            await self._store.delete(object_key)

    async def remove(self, rows: Sequence[MediaRow]) -> None:
        """Remove files whose time is over: first the bytes, so that a row is left to try again by.

        Safe to repeat. Raises DependencyUnavailable.
        """
        await self.remove_objects(row.object_key for row in rows)
        async with self._database.transaction() as session:
            await MediaRepository(session).delete([row.media_id for row in rows])

    async def _put(self, picture: Picture, origin: Origin, *, keep: timedelta, file_name: str) -> MediaRow:
        media_id = new_id()
        key = media_key(media_id, picture.content_type)
        await self._store.put(key, picture.data, content_type=picture.content_type)
        row = self.new_row(
            media_id=media_id,
            object_key=key,
            content_type=picture.content_type,
            size_bytes=len(picture.data),
            width=picture.width,
            height=picture.height,
            origin=origin,
        )
        row.expire_time = row.create_time + keep
        row.file_name = file_name
        return row


def media_to_grpc(row: MediaRow) -> media_pb2.Media:
    """The description of a file as services tell it each other."""
    media = media_pb2.Media(
        media_id=row.media_id,
        object_key=row.object_key,
        content_type=row.content_type,
        size_bytes=row.size_bytes,
        width=row.width,
        height=row.height,
        duration_ms=row.duration_ms,
        file_name=row.file_name or "",
        generated=bool(row.generation_id),
    )
    media.create_time.FromDatetime(row.create_time)
    if row.expire_time is not None:
        media.expire_time.FromDatetime(row.expire_time)
    return media


def _as_input_picture(picture: Picture) -> InputPicture:
    return InputPicture(
        data=picture.data, content_type=picture.content_type, width=picture.width, height=picture.height
    )


def _invalid_image(description: str) -> InvalidArgument:
    return InvalidArgument.of("input_images", description, reason=INVALID_IMAGE)
