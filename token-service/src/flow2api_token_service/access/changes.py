"""Changes of API keys, told to everybody who keeps answers about them, over all replicas: a channel in Redis."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from datetime import timedelta
from typing import Any, Final

from redis.asyncio import Redis

from flow2api_common.errors import DependencyUnavailable, Flow2APIError
from flow2api_common.ids import new_id
from flow2api_common.logs import get_logger
from flow2api_token_service.redis_client import KEY_PREFIX, redis_errors

log = get_logger(__name__)

CHANNEL: Final = f"{KEY_PREFIX}:access-changes"

_BEAT_SECONDS: Final = 1.0
_RECONNECT_SECONDS: Final = 0.5
_RETRY_AFTER: Final = timedelta(seconds=1)
_BACKLOG: Final = 1000
"""Messages that a watcher may be behind; one that is further behind is sent away, and begins anew."""

Changed = tuple[str, ...]


class AccessChanges:
    """Tells and hears. `serve` must be running: without it nobody is told, and `watch` refuses.

    A change that cannot be told because Redis is away is told when it is back; whoever watches is sent away meanwhile.
    """

    def __init__(self, *, redis: Redis) -> None:
        self._redis = redis
        self._watchers: set[_Watcher] = set()
        self._untold: set[str] = set()
        self._own_channel = f"{CHANNEL}:{new_id()}"
        self._is_hearing = False
        self._is_closed = False

    async def tell(self, api_key_id: str) -> None:
        """Say that a key was changed; the change must be committed. Raises nothing: what is missed is told later."""
        self._untold.add(api_key_id)
        try:
            await self._tell_untold()
        except Flow2APIError as error:
            log.warning("access_change_untold", api_key_id=api_key_id, reason=error.reason)

    async def watch(self) -> AsyncGenerator[Changed, None]:
        """First nothing, at once; then the keys that were changed, as it happens, and nothing every second.

        Ends when the service does. Raises DependencyUnavailable when changes may have been missed.
        """
        if not self._is_hearing or self._is_closed:
            raise _deaf()
        watcher = _Watcher()
        self._watchers.add(watcher)
        try:
            yield ()
            while (changed := await watcher.next()) is not None:
                yield changed
        finally:
            self._watchers.discard(watcher)

    def close(self) -> None:
        """Send those who watch to another replica: this one is going away."""
        self._is_closed = True
        for watcher in self._watchers:
            watcher.end(None)

    async def serve(self) -> None:
        """Hear what all replicas tell, for ever."""
        while True:
            try:
                await self._hear()
            except Flow2APIError as error:
                log.info("access_channel_lost", reason=error.reason)
            finally:
                self._is_hearing = False
                for watcher in self._watchers:
                    watcher.end(_deaf())
            await asyncio.sleep(_RECONNECT_SECONDS)

    async def _hear(self) -> None:
        loop = asyncio.get_running_loop()
        channels = {CHANNEL, self._own_channel}
        with redis_errors():
            async with self._redis.pubsub() as listener:
                await listener.subscribe(*channels)
                beats_at, is_asked = loop.time(), False
                while True:
                    message = await listener.get_message(timeout=max(0.001, beats_at - loop.time()))
                    match message:
                        case {"type": "subscribe", "channel": channel}:
                            if channel not in channels:
                                # The client has connected anew by itself: what was told meanwhile is lost.
                                raise _deaf()
                            channels.discard(channel)
                            self._is_hearing = not channels
                        case {"type": "message", "channel": channel, "data": api_key_id} if channel == CHANNEL:
                            self._pass_on((str(api_key_id),))
                        case {"type": "message"}:
                            is_asked = False
                            self._pass_on(())
                    if loop.time() >= beats_at:
                        if is_asked:
                            raise _deaf()
                        # A connection that is gone without a word would hear nothing, and not know it.
                        await self._redis.publish(self._own_channel, "")
                        beats_at, is_asked = loop.time() + _BEAT_SECONDS, True
                        await self._tell_untold()

    def _pass_on(self, changed: Changed) -> None:
        for watcher in self._watchers:
            watcher.put(changed)

    async def _tell_untold(self) -> None:
        for api_key_id in sorted(self._untold):
            with redis_errors():
                await self._redis.publish(CHANNEL, api_key_id)
            self._untold.discard(api_key_id)


class _Watcher:
    """What one who watches is still to be told."""

    def __init__(self) -> None:
        self._queue: asyncio.Queue[Changed] = asyncio.Queue(_BACKLOG)
        self._end: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        # Seen, so that nobody complains when the watcher has gone before it was ended.
        self._end.add_done_callback(lambda end: end.cancelled() or end.exception())

    def put(self, changed: Changed) -> None:
        try:
            self._queue.put_nowait(changed)
        except asyncio.QueueFull:
            self.end(_deaf())

    def end(self, error: Flow2APIError | None) -> None:
        if self._end.done():
            return
        if error is None:
            self._end.set_result(None)
        else:
            self._end.set_exception(error)

    async def next(self) -> Changed | None:
        getting = asyncio.ensure_future(self._queue.get())
        try:
            awaited: set[asyncio.Future[Any]] = {getting, self._end}
            await asyncio.wait(awaited, return_when=asyncio.FIRST_COMPLETED)
            if self._end.done():
                self._end.result()
                return None
            return getting.result()
        finally:
            getting.cancel()


def _deaf() -> DependencyUnavailable:
    return DependencyUnavailable("Changes of API keys may have been missed.", retry_after=_RETRY_AFTER)
