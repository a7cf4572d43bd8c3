"""Following one image job as it changes, on any replica."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import Final

from flow2api_common.errors import DependencyUnavailable
from flow2api_common.logs import get_logger
from flow2api_generation_service.image_jobs.job_to_grpc import JOB_STATES
from flow2api_generation_service.image_jobs.read import ImageJobReader
from flow2api_generation_service.image_jobs.states import FINAL_STATES
from flow2api_generation_service.videos.changes import VideoChanges
from flow2api_proto.generation.v1 import image_job_pb2

log = get_logger(__name__)

_LOOK_INTERVAL: Final = timedelta(seconds=1)
"""How often a job is looked at although nothing was announced: announcements may be lost, and progress has none."""


class ImageJobWatch:
    """Streams of changes."""

    def __init__(self, *, reader: ImageJobReader, changes: VideoChanges) -> None:
        self._reader = reader
        self._watchers: defaultdict[str, set[asyncio.Event]] = defaultdict(set)
        changes.listen(self._on_change)

    async def follow(
        self, generation_id: str, *, api_key_id: str, after_version: int, after_progress_percent: int = 0
    ) -> AsyncIterator[image_job_pb2.ImageJob]:
        """The job after each change, and whenever its estimated progress moves.

        It begins with the job as it is now, unless the caller has seen that version and progress; it ends with a final
        state, which is told even to who has seen it. Raises NotFound IMAGE_JOB_NOT_FOUND, also when it is deleted
        meanwhile; DependencyUnavailable at the first look alone.
        """
        seen = (after_version, after_progress_percent)
        is_first = True
        with self._watching(generation_id) as changed:
            while True:
                changed.clear()
                try:
                    job = await self._reader.get(generation_id, api_key_id=api_key_id)
                except DependencyUnavailable as error:
                    if is_first:
                        raise
                    log.info("image_job_watch_waits", generation_id=generation_id, reason=error.reason)
                else:
                    is_first = False
                    is_final = JOB_STATES[job.state] in FINAL_STATES
                    if not is_final:
                        job.progress_percent = max(job.progress_percent, seen[1])
                    if is_final or (job.version, job.progress_percent) > seen:
                        seen = (job.version, job.progress_percent)
                        yield job
                    if is_final:
                        return
                with suppress(TimeoutError):
                    async with asyncio.timeout(_LOOK_INTERVAL.total_seconds()):
                        await changed.wait()

    @contextmanager
    def _watching(self, generation_id: str) -> Iterator[asyncio.Event]:
        changed = asyncio.Event()
        self._watchers[generation_id].add(changed)
        try:
            yield changed
        finally:
            self._watchers[generation_id].discard(changed)
            if not self._watchers[generation_id]:
                del self._watchers[generation_id]

    def _on_change(self, generation_id: str) -> None:
        for watcher in self._watchers.get(generation_id, ()):
            watcher.set()
