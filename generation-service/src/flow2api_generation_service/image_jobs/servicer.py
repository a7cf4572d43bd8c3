"""The RPCs of image jobs: the thin edge over the use cases."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, TypeAlias

import grpc

from flow2api_generation_service.image_jobs.create import ImageJobCreation
from flow2api_generation_service.image_jobs.end import ImageJobEnd
from flow2api_generation_service.image_jobs.read import ImageJobReader
from flow2api_generation_service.image_jobs.watch import ImageJobWatch
from flow2api_proto.generation.v1 import image_job_pb2

_Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"


class ImageJobRpcs:
    """Methods with the names and signatures of the RPCs. They raise Flow2APIError."""

    def __init__(
        self, *, creation: ImageJobCreation, reader: ImageJobReader, watch: ImageJobWatch, end: ImageJobEnd
    ) -> None:
        self._creation = creation
        self._reader = reader
        self._watch = watch
        self._end = end

    async def CreateImageJob(  # noqa: N802 - the name of the RPC
        self, request: image_job_pb2.CreateImageJobRequest, context: _Context
    ) -> image_job_pb2.CreateImageJobResponse:
        """Accept a job."""
        del context
        accepted = await self._creation.create(request)
        return image_job_pb2.CreateImageJobResponse(
            job=await self._reader.get(accepted.generation_id),
            request_quota=accepted.request_quota,
            replayed=accepted.replayed,
        )

    async def GetImageJob(  # noqa: N802 - the name of the RPC
        self, request: image_job_pb2.GetImageJobRequest, context: _Context
    ) -> image_job_pb2.GetImageJobResponse:
        """Read one job."""
        del context
        job = await self._reader.get(request.generation_id, api_key_id=request.api_key_id)
        return image_job_pb2.GetImageJobResponse(job=job)

    async def ListImageJobs(  # noqa: N802 - the name of the RPC
        self, request: image_job_pb2.ListImageJobsRequest, context: _Context
    ) -> image_job_pb2.ListImageJobsResponse:
        """List jobs."""
        del context
        return await self._reader.page(request)

    async def WatchImageJob(  # noqa: N802 - the name of the RPC
        self, request: image_job_pb2.WatchImageJobRequest, context: _Context
    ) -> AsyncIterator[image_job_pb2.WatchImageJobResponse]:
        """Follow one job to its final state."""
        del context
        jobs = self._watch.follow(
            request.generation_id,
            api_key_id=request.api_key_id,
            after_version=request.after_version,
            after_progress_percent=request.after_progress_percent,
        )
        async for job in jobs:
            yield image_job_pb2.WatchImageJobResponse(job=job)

    async def CancelImageJob(  # noqa: N802 - the name of the RPC
        self, request: image_job_pb2.CancelImageJobRequest, context: _Context
    ) -> image_job_pb2.CancelImageJobResponse:
        """Stop a job."""
        del context
        charge = await self._end.cancel(request.generation_id, api_key_id=request.api_key_id)
        return image_job_pb2.CancelImageJobResponse(job=await self._reader.get(request.generation_id), charge=charge)

    async def DeleteImageJob(  # noqa: N802 - the name of the RPC
        self, request: image_job_pb2.DeleteImageJobRequest, context: _Context
    ) -> image_job_pb2.DeleteImageJobResponse:
        """Remove a job and its pictures."""
        del context
        await self._end.delete(request.generation_id, api_key_id=request.api_key_id)
        return image_job_pb2.DeleteImageJobResponse()
