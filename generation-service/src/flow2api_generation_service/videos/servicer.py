"""The video RPCs: the thin edge over the use cases."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, TypeAlias

import grpc

from flow2api_generation_service.videos.create import VideoCreation
from flow2api_generation_service.videos.end import VideoEnd
from flow2api_generation_service.videos.read import VideoReader
from flow2api_generation_service.videos.watch import VideoWatch
from flow2api_generation_service.webhooks.job_receiver import JobReceivers
from flow2api_proto.generation.v1 import video_pb2

_Context: TypeAlias = grpc.aio.ServicerContext[Any, Any]


class VideoRpcs:
    """Methods with the names and signatures of the RPCs. They raise Flow2APIError."""

    def __init__(
        self,
        *,
        creation: VideoCreation,
        receivers: JobReceivers,
        reader: VideoReader,
        watch: VideoWatch,
        end: VideoEnd,
    ) -> None:
        self._creation = creation
        self._receivers = receivers
        self._reader = reader
        self._watch = watch
        self._end = end

    async def CreateVideo(  # noqa: N802 - the name of the RPC
        self, request: video_pb2.CreateVideoRequest, context: _Context
    ) -> video_pb2.CreateVideoResponse:
        """Accept a job."""
        del context
        accepted = await self._creation.create(request)
        video = await self._reader.get(accepted.video_id)
        return video_pb2.CreateVideoResponse(
            video=video,
            request_quota=accepted.request_quota,
            webhook_secret=self._receivers.chosen_secret(request),
            replayed=accepted.replayed,
        )

    async def GetVideo(  # noqa: N802 - the name of the RPC
        self, request: video_pb2.GetVideoRequest, context: _Context
    ) -> video_pb2.GetVideoResponse:
        """Read one job."""
        del context
        return video_pb2.GetVideoResponse(video=await self._reader.get(request.video_id, api_key_id=request.api_key_id))

    async def ListVideos(  # noqa: N802 - the name of the RPC
        self, request: video_pb2.ListVideosRequest, context: _Context
    ) -> video_pb2.ListVideosResponse:
        """List jobs."""
        del context
        return await self._reader.page(request)

    async def WatchVideo(  # noqa: N802 - the name of the RPC
        self, request: video_pb2.WatchVideoRequest, context: _Context
    ) -> AsyncIterator[video_pb2.WatchVideoResponse]:
        """Follow one job to its final state."""
        del context
        videos = self._watch.follow(
            request.video_id,
            api_key_id=request.api_key_id,
            after_version=request.after_version,
            after_progress_percent=request.after_progress_percent,
        )
        async for video in videos:
            yield video_pb2.WatchVideoResponse(video=video)

    async def CancelVideo(  # noqa: N802 - the name of the RPC
        self, request: video_pb2.CancelVideoRequest, context: _Context
    ) -> video_pb2.CancelVideoResponse:
        """Stop a job."""
        del context
        charge = await self._end.cancel(request.video_id, api_key_id=request.api_key_id)
        return video_pb2.CancelVideoResponse(
            video=await self._reader.get(request.video_id), charge=charge.kind, charged_credits=charge.credits
        )

    async def DeleteVideo(  # noqa: N802 - the name of the RPC
        self, request: video_pb2.DeleteVideoRequest, context: _Context
    ) -> video_pb2.DeleteVideoResponse:
        """Remove a job and its file."""
        del context
        await self._end.delete(request.video_id, api_key_id=request.api_key_id)
        return video_pb2.DeleteVideoResponse()

    async def counts(self) -> tuple[dict[str, int], int]:
        """Jobs per state by its name, and clips completed today (UTC); for GetGenerationStats."""
        return await self._reader.counts()
