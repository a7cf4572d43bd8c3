"""Sends away, at every replica, who waits for a lease under an API key that has just ended."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Set
from contextlib import aclosing
from typing import Final

from flow2api_common.errors import DependencyUnavailable, NotFound
from flow2api_common.logs import get_logger
from flow2api_token_service.access.api_keys import ApiKeys
from flow2api_token_service.access.changes import AccessChanges

log = get_logger(__name__)

_AGAIN_SECONDS: Final = 1.0


class EndedKeys:
    """Hears which keys were changed, and tells the queue which of them do not work any more."""

    def __init__(
        self,
        *,
        changes: AccessChanges,
        api_keys: ApiKeys,
        waiting: Callable[[], Set[str]],
        send_away: Callable[[str], None],
    ) -> None:
        self._changes = changes
        self._api_keys = api_keys
        self._waiting = waiting
        self._send_away = send_away

    async def run(self) -> None:
        """Do so until cancelled; what was missed is made up for once changes can be heard again."""
        while True:
            try:
                async with aclosing(self._changes.watch()) as watching:
                    await anext(watching)
                    for api_key_id in self._waiting():
                        await self._look(api_key_id)
                    async for changed in watching:
                        for api_key_id in changed:
                            await self._look(api_key_id)
            except DependencyUnavailable as error:
                log.info("ended_keys_not_heard", reason=error.reason)
            await asyncio.sleep(_AGAIN_SECONDS)

    async def _look(self, api_key_id: str) -> None:
        try:
            row = await self._api_keys.get(api_key_id)
        except NotFound:
            return
        if row.revoked_at is not None:
            self._send_away(api_key_id)
