"""The mark in a picture's row around the call that costs something."""

from __future__ import annotations

from flow2api_common.clock import Clock
from flow2api_common.database import Database
from flow2api_common.errors import DependencyUnavailable
from flow2api_generation_service.catalog.image_plan import ImageOption
from flow2api_generation_service.image_jobs.errors import PictureLost
from flow2api_generation_service.image_jobs.transitions import AskedOf, ImageJobTransitions, PictureKey
from flow2api_generation_service.images.charges import most_on
from flow2api_generation_service.images.request import ImageRequest
from flow2api_generation_service.videos.changes import VideoChanges
from flow2api_generation_service.videos.outage import until_stored


class PictureMark:
    """Implements `PaidCallMark` for one picture. ``may_be_set``: whether the row may say that the upstream is asked."""

    def __init__(
        self, key: PictureKey, request: ImageRequest, *, database: Database, changes: VideoChanges, clock: Clock
    ) -> None:
        self._key = key
        self._request = request
        self._database = database
        self._changes = changes
        self._clock = clock
        self.may_be_set = False

    async def begin(self, token_id: int, option: ImageOption) -> None:
        """Say that the upstream is asked now. Raises PictureLost, DependencyUnavailable."""
        where = AskedOf(token_id, option.provider, option.upstream_model, most_on(option, self._request))
        self.may_be_set = True
        try:
            async with self._database.transaction() as session:
                begun = await ImageJobTransitions(session, clock=self._clock).begin_asking(self._key, where)
        except DependencyUnavailable:
            # The mark may be there nevertheless.
            await self.take_back()
            raise
        if not begun:
            self.may_be_set = False
            raise PictureLost
        await self._changes.announce(self._key.generation_id)

    async def take_back(self) -> None:
        """Say that the upstream has not accepted it; waits for the database."""
        await until_stored(self._take_back)
        self.may_be_set = False

    async def _take_back(self) -> None:
        async with self._database.transaction() as session:
            await ImageJobTransitions(session, clock=self._clock).take_back(self._key)
