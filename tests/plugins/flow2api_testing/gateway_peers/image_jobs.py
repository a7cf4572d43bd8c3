"""Image jobs that gateway tests are answered with."""

# ruff: noqa: N802 - the servicers have the names of the RPCs.

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

from flow2api_common.errors import FailedPrecondition, Flow2APIError, NotFound
from flow2api_common.media_store import MediaStore
from flow2api_proto.generation.v1 import image_job_pb2, image_pb2, media_pb2
from flow2api_testing.gateway_peers.content import picture


@dataclass(kw_only=True)
class FakeImageJobs:
    """Accepts jobs and lets tests say what becomes of them."""

    store: MediaStore
    media: dict[str, media_pb2.Media] = field(default_factory=dict)
    job_requests: list[image_job_pb2.CreateImageJobRequest] = field(default_factory=list)
    jobs: dict[str, image_job_pb2.ImageJob] = field(default_factory=dict)
    job_listings: list[image_job_pb2.ListImageJobsRequest] = field(default_factory=list)
    job_changed: asyncio.Condition = field(default_factory=asyncio.Condition)
    job_error: Flow2APIError | None = None
    completes_jobs: bool = False

    async def complete_job(self, job_id: str) -> None:
        """Give the job its first picture."""
        media = media_pb2.Media(media_id=f"of-{job_id}", object_key=f"media/{job_id}", width=64, height=36)
        media.content_type = "image/png"
        await self.store.put(media.object_key, picture(), content_type=media.content_type)
        self.media[media.media_id] = media
        usage = image_pb2.Usage(input_tokens=12, input_text_tokens=12, output_tokens=1120)
        event = image_pb2.GenerateImageResponse(
            generation_id=job_id, image=image_pb2.GeneratedImage(media=media, usage=usage)
        )
        await self.change_job(
            job_id, state=image_job_pb2.IMAGE_JOB_STATE_COMPLETED, progress_percent=100, results=[event]
        )

    async def change_job(self, job_id: str, **fields: Any) -> None:
        """Move a job on."""
        async with self.job_changed:
            job = self.jobs[job_id]
            job.MergeFrom(image_job_pb2.ImageJob(**fields))
            job.version += 1
            if job.state >= image_job_pb2.IMAGE_JOB_STATE_COMPLETED:
                job.complete_time.FromSeconds(1_767_225_630)
            self.job_changed.notify_all()

    async def CreateImageJob(self, request: Any, context: Any) -> Any:
        self.job_requests.append(request)
        if self.job_error is not None:
            raise self.job_error
        known = [each for each in self.job_requests[:-1] if each.request.request_id == request.request.request_id]
        if request.request.request_id and known:
            job_id = f"image_{self.job_requests.index(known[0]) + 1}"
            return image_job_pb2.CreateImageJobResponse(job=self.jobs[job_id], replayed=True)
        job_id = f"image_{len(self.job_requests)}"
        self.jobs[job_id] = image_job_pb2.ImageJob(
            generation_id=job_id,
            api_key_id=request.request.api_key_id,
            state=image_job_pb2.IMAGE_JOB_STATE_QUEUED,
            model_id=request.request.model_id,
            image_count=request.request.image_count,
            version=1,
            answer_options=request.answer_options,
        )
        self.jobs[job_id].create_time.FromSeconds(1_767_225_600)
        accepted = image_job_pb2.CreateImageJobResponse(job=self.jobs[job_id])
        if self.completes_jobs:
            await self.complete_job(job_id)
        return accepted

    def _job(self, request: Any) -> image_job_pb2.ImageJob:
        job = self.jobs.get(request.generation_id)
        if job is None or request.api_key_id not in ("", job.api_key_id):
            raise NotFound("The image job does not exist.", reason="IMAGE_JOB_NOT_FOUND")
        return job

    async def GetImageJob(self, request: Any, context: Any) -> Any:
        return image_job_pb2.GetImageJobResponse(job=self._job(request))

    async def ListImageJobs(self, request: Any, context: Any) -> Any:
        self.job_listings.append(request)
        jobs = list(reversed(self.jobs.values()))
        return image_job_pb2.ListImageJobsResponse(
            jobs=jobs[: request.page_size], next_page_token="more" if len(jobs) > request.page_size else ""
        )

    async def WatchImageJob(self, request: Any, context: Any) -> AsyncIterator[Any]:
        job, seen = self._job(request), request.after_version
        while True:
            if job.version > seen or job.state >= image_job_pb2.IMAGE_JOB_STATE_COMPLETED:
                seen = job.version
                yield image_job_pb2.WatchImageJobResponse(job=job)
                if job.state >= image_job_pb2.IMAGE_JOB_STATE_COMPLETED:
                    return
            async with self.job_changed:
                while job.version <= seen:
                    await self.job_changed.wait()

    async def CancelImageJob(self, request: Any, context: Any) -> Any:
        job = self._job(request)
        if job.state >= image_job_pb2.IMAGE_JOB_STATE_COMPLETED:
            raise FailedPrecondition("The image job has ended.", reason="IMAGE_JOB_ALREADY_FINAL")
        await self.change_job(job.generation_id, state=image_job_pb2.IMAGE_JOB_STATE_CANCELLED)
        return image_job_pb2.CancelImageJobResponse(job=job, charge=image_job_pb2.IMAGE_JOB_CHARGE_NONE)

    async def DeleteImageJob(self, request: Any, context: Any) -> Any:
        del self.jobs[self._job(request).generation_id]
        return image_job_pb2.DeleteImageJobResponse()
