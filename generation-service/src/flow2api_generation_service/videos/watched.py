"""The jobs that somebody watches, read once for all who watch them.

A thousand watchers cost no thousand queries: a job that was announced as changed is read again together with all
others that changed meanwhile, and progress, which depends on nothing but the row and the time, is reckoned from the row
that is there. Announcements may be lost, and places in the queue move without one, so that rows that have not been read
for a while are read again as well.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

from flow2api_common.clock import Clock
from flow2api_common.errors import DependencyUnavailable, Flow2APIError, InternalError
from flow2api_common.logs import get_logger
from flow2api_generation_service.videos.changes import VideoChanges
from flow2api_generation_service.videos.read import JobSnapshot, VideoReader, video_not_found
from flow2api_generation_service.videos.states import JobState
from flow2api_proto.generation.v1 import video_pb2

log = get_logger(__name__)

_TICK: Final = timedelta(seconds=1)
"""How often progress is reckoned anew."""
_LOOK_INTERVAL: Final = timedelta(seconds=15)
"""After this a row is read again although nothing was announced."""
_QUICK_LOOK_INTERVAL: Final = timedelta(seconds=2)
"""The same for a queued job, whose place moves, and for all while no announcements can come."""
_BATCH: Final = 500


@dataclass(slots=True)
class _Watched:
    """One job, and who waits for it. ``video`` is None before the first look, and after one that failed."""

    watchers: set[Watcher] = field(default_factory=set)
    snapshot: JobSnapshot | None = None
    video: video_pb2.Video | None = None
    error: Flow2APIError | None = None
    read_at: float = 0.0

    def tell(self, video: video_pb2.Video | None, error: Flow2APIError | None = None) -> None:
        self.video, self.error = video, error
        for watcher in self.watchers:
            watcher.wake()


class Watcher:
    """One who watches one job."""

    def __init__(self, watched: _Watched) -> None:
        self._watched = watched
        self._changed = asyncio.Event()

    def wake(self) -> None:
        """Something is new."""
        self._changed.set()

    async def now(self) -> video_pb2.Video:
        """The job as it is now, once it has been read. It is shared with other watchers.

        Raises NotFound VIDEO_NOT_FOUND, DependencyUnavailable when it could not be read at first.
        """
        while (video := self._watched.video) is None:
            if self._watched.error is not None:
                raise self._watched.error
            await self.changed()
        return video

    async def changed(self) -> None:
        """Wait until something is new since the last time."""
        await self._changed.wait()
        self._changed.clear()


class WatchedVideos:
    """Reads the watched jobs of this replica."""

    def __init__(self, *, reader: VideoReader, changes: VideoChanges, clock: Clock) -> None:
        self._reader = reader
        self._changes = changes
        self._clock = clock
        self._watched: dict[str, _Watched] = {}
        self._stale: set[str] = set()
        self._woken = asyncio.Event()
        self.read_count = 0
        """Rows read so far, for tests and for those who wonder."""
        changes.listen(self._on_change)

    @contextmanager
    def watching(self, video_id: str) -> Iterator[Watcher]:
        """A watcher of one job; a change that comes between two waits is not missed."""
        watched = self._watched.get(video_id)
        if watched is None:
            watched = self._watched[video_id] = _Watched()
        if watched.video is None:
            watched.error = None
            self._on_change(video_id)
        watcher = Watcher(watched)
        watched.watchers.add(watcher)
        try:
            yield watcher
        finally:
            watched.watchers.discard(watcher)
            if not watched.watchers:
                self._watched.pop(video_id, None)
                self._stale.discard(video_id)

    async def run(self) -> None:
        """Look until cancelled. A database that is away is waited for."""
        loop = asyncio.get_running_loop()
        next_tick = 0.0
        while True:
            if not self._watched:
                await self._woken.wait()
            with suppress(TimeoutError):
                async with asyncio.timeout_at(next_tick):
                    await self._woken.wait()
            self._woken.clear()
            if loop.time() >= next_tick:
                next_tick = loop.time() + _TICK.total_seconds()
                self._reckon_progress(loop.time())
            stale = list(self._stale)
            self._stale.clear()
            for start in range(0, len(stale), _BATCH):
                await self._read(stale[start : start + _BATCH])

    def _on_change(self, video_id: str) -> None:
        if video_id in self._watched:
            self._stale.add(video_id)
            self._woken.set()

    def _reckon_progress(self, now: float) -> None:
        can_hear = self._changes.is_listening
        for video_id, watched in self._watched.items():
            if watched.snapshot is None:
                self._stale.add(video_id)
                continue
            is_quick = not can_hear or watched.snapshot.job.state == JobState.QUEUED
            interval = _QUICK_LOOK_INTERVAL if is_quick else _LOOK_INTERVAL
            if now - watched.read_at >= interval.total_seconds():
                self._stale.add(video_id)
            else:
                self._tell(watched)

    async def _read(self, video_ids: Sequence[str]) -> None:
        try:
            snapshots = await self._reader.snapshots(video_ids)
        except DependencyUnavailable as error:
            log.warning("watch_waits", reason=error.reason, watched_count=len(self._watched))
            for video_id in video_ids:
                watched = self._watched.get(video_id)
                if watched is not None and watched.snapshot is None:
                    watched.tell(None, error)
            # Without waking: at the next tick.
            self._stale.update(video_ids)
            return
        self.read_count += len(video_ids)
        now = asyncio.get_running_loop().time()
        for video_id in video_ids:
            watched = self._watched.get(video_id)
            if watched is None:
                continue
            watched.snapshot, watched.read_at = snapshots.get(video_id), now
            if watched.snapshot is None:
                watched.tell(None, video_not_found(video_id))
            else:
                self._tell(watched)

    def _tell(self, watched: _Watched) -> None:
        if watched.snapshot is None:
            return
        try:
            video = watched.snapshot.video(self._clock())
        except Exception:
            # One row that cannot be shown must not end the watching of all others.
            log.exception("watched_video_not_shown", video_id=watched.snapshot.job.video_id)
            watched.snapshot = None
            watched.tell(None, InternalError("the video cannot be shown"))
            return
        if watched.video is None or signature(video) != signature(watched.video):
            watched.tell(video)


def signature(video: video_pb2.Video) -> tuple[int, int, int]:
    """What a watcher is told changes of."""
    return video.version, video.progress_percent, video.queue_position
