"""Pictures in other formats than the one that they were made in, stored beside them and ended with them."""

from __future__ import annotations

import re
from typing import Final

from flow2api_common.clock import Clock
from flow2api_common.database import Database
from flow2api_common.errors import InvalidArgument, NotFound
from flow2api_generation_service.media.models import MediaRow
from flow2api_generation_service.media.repository import MediaRepository
from flow2api_generation_service.media.service import MediaService
from flow2api_proto.generation.v1 import media_pb2

MOST_CONVERSIONS: Final = 8
"""Kept of one picture: the formats and qualities that a client may ask for are hundreds."""

_NAME = re.compile(r"[a-z]{3,10}-\d{1,3}", re.ASCII)


class Conversions:
    """Finds and records conversions. Their bytes are stored by whoever makes them, before they are recorded."""

    def __init__(self, *, database: Database, media: MediaService, clock: Clock) -> None:
        self._database = database
        self._media = media
        self._clock = clock

    async def find(self, media_id: str, conversion: str) -> MediaRow | None:
        """The picture in that format, if it is stored in it."""
        async with self._database.transaction(read_only=True) as session:
            return await MediaRepository(session).derivative(media_id, conversion, now=self._clock())

    async def keep(self, media_id: str, conversion: str, stored: media_pb2.Media) -> None:
        """Record one; the oldest go where there are too many. A repeat changes nothing.

        Raises NotFound MEDIA_NOT_FOUND when the picture has gone meanwhile, and InvalidArgument.
        """
        _check(conversion, stored)
        now = self._clock()
        async with self._database.transaction() as session:
            repository = MediaRepository(session)
            picture = await repository.get(media_id, now=now)
            if picture is None or not picture.content_type.startswith("image/") or picture.derived_from:
                raise NotFound("The picture does not exist or has expired.", reason="MEDIA_NOT_FOUND")
            row = self._media.new_row(
                media_id=stored.media_id,
                object_key=stored.object_key,
                content_type=stored.content_type,
                size_bytes=stored.size_bytes,
                width=picture.width,
                height=picture.height,
            )
            row.expire_time, row.api_key_id = picture.expire_time, picture.api_key_id
            row.derived_from, row.variant = media_id, conversion
            await repository.add(row)
            surplus = await repository.oldest_derivatives(media_id, keep=MOST_CONVERSIONS, now=now)
            await repository.expire(surplus, now=now)
        if surplus:
            await self._media.remove_expired(surplus)


def _check(conversion: str, stored: media_pb2.Media) -> None:
    if not _NAME.fullmatch(conversion):
        raise InvalidArgument.of("conversion", "It is no format and quality.")
    if not (stored.media_id and stored.object_key and stored.content_type and stored.size_bytes):
        raise InvalidArgument.of("stored", "Its id, place, type and length are required.")
