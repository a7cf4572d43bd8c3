"""The gRPC edge of the service: each RPC handed to its use case."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, TypeAlias

import grpc

from flow2api_generation_service.attempts.listing import AttemptListing
from flow2api_generation_service.catalog.catalog import Catalog
from flow2api_generation_service.catalog.model_to_grpc import model_to_grpc
from flow2api_generation_service.image_jobs.servicer import ImageJobRpcs
from flow2api_generation_service.images.generate import GenerateImages
from flow2api_generation_service.ledger.reading import Ledger
from flow2api_generation_service.media.conversions import Conversions
from flow2api_generation_service.media.listing import media_page
from flow2api_generation_service.media.service import MediaService, media_to_grpc
from flow2api_generation_service.media.upload import receive_upload
from flow2api_generation_service.requestlog.listing import RequestLogListing
from flow2api_generation_service.stats import GenerationStats
from flow2api_generation_service.videos.servicer import VideoRpcs
from flow2api_proto.generation.v1 import (
    attempt_pb2,
    generation_service_pb2,
    generation_service_pb2_grpc,
    image_job_pb2,
    image_pb2,
    ledger_pb2,
    video_pb2,
)

_Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"


class GenerationServicer(generation_service_pb2_grpc.GenerationServiceServicer):
    """Implements flow2api.generation.v1.GenerationService."""

    def __init__(
        self,
        *,
        catalog: Catalog,
        images: GenerateImages,
        image_jobs: ImageJobRpcs,
        videos: VideoRpcs,
        media: MediaService,
        conversions: Conversions,
        request_logs: RequestLogListing,
        attempts: AttemptListing,
        stats: GenerationStats,
        ledger: Ledger,
    ) -> None:
        self._catalog = catalog
        self._images = images
        self._image_jobs = image_jobs
        self._videos = videos
        self._media = media
        self._conversions = conversions
        self._request_logs = request_logs
        self._attempts = attempts
        self._stats = stats
        self._ledger = ledger

    async def ListModels(  # noqa: N802 - the name of the RPC
        self, request: generation_service_pb2.ListModelsRequest, context: _Context
    ) -> generation_service_pb2.ListModelsResponse:
        """The whole catalog."""
        del request, context
        return generation_service_pb2.ListModelsResponse(models=map(model_to_grpc, self._catalog.models))

    async def GetModel(  # noqa: N802
        self, request: generation_service_pb2.GetModelRequest, context: _Context
    ) -> generation_service_pb2.GetModelResponse:
        """One model."""
        del context
        model = self._catalog.resolve(request.model_id)
        return generation_service_pb2.GetModelResponse(model=model_to_grpc(model))

    def GenerateImage(  # noqa: N802
        self, request: image_pb2.GenerateImageRequest, context: _Context
    ) -> AsyncIterator[image_pb2.GenerateImageResponse]:
        """Pictures, and how it goes."""
        del context
        return self._images.events(request)

    async def CreateImageJob(  # noqa: N802
        self, request: image_job_pb2.CreateImageJobRequest, context: _Context
    ) -> image_job_pb2.CreateImageJobResponse:
        """Accept an image job."""
        return await self._image_jobs.CreateImageJob(request, context)

    async def GetImageJob(  # noqa: N802
        self, request: image_job_pb2.GetImageJobRequest, context: _Context
    ) -> image_job_pb2.GetImageJobResponse:
        """One image job."""
        return await self._image_jobs.GetImageJob(request, context)

    async def ListImageJobs(  # noqa: N802
        self, request: image_job_pb2.ListImageJobsRequest, context: _Context
    ) -> image_job_pb2.ListImageJobsResponse:
        """Image jobs by creation."""
        return await self._image_jobs.ListImageJobs(request, context)

    def WatchImageJob(  # noqa: N802
        self, request: image_job_pb2.WatchImageJobRequest, context: _Context
    ) -> AsyncIterator[image_job_pb2.WatchImageJobResponse]:
        """An image job after each change."""
        return self._image_jobs.WatchImageJob(request, context)

    async def CancelImageJob(  # noqa: N802
        self, request: image_job_pb2.CancelImageJobRequest, context: _Context
    ) -> image_job_pb2.CancelImageJobResponse:
        """Stop an image job."""
        return await self._image_jobs.CancelImageJob(request, context)

    async def DeleteImageJob(  # noqa: N802
        self, request: image_job_pb2.DeleteImageJobRequest, context: _Context
    ) -> image_job_pb2.DeleteImageJobResponse:
        """Remove an image job."""
        return await self._image_jobs.DeleteImageJob(request, context)

    async def CreateVideo(  # noqa: N802
        self, request: video_pb2.CreateVideoRequest, context: _Context
    ) -> video_pb2.CreateVideoResponse:
        """Accept a video job."""
        return await self._videos.CreateVideo(request, context)

    async def GetVideo(  # noqa: N802
        self, request: video_pb2.GetVideoRequest, context: _Context
    ) -> video_pb2.GetVideoResponse:
        """One job."""
        return await self._videos.GetVideo(request, context)

    async def ListVideos(  # noqa: N802
        self, request: video_pb2.ListVideosRequest, context: _Context
    ) -> video_pb2.ListVideosResponse:
        """Jobs by creation."""
        return await self._videos.ListVideos(request, context)

    def WatchVideo(  # noqa: N802
        self, request: video_pb2.WatchVideoRequest, context: _Context
    ) -> AsyncIterator[video_pb2.WatchVideoResponse]:
        """A job after each change."""
        return self._videos.WatchVideo(request, context)

    async def CancelVideo(  # noqa: N802
        self, request: video_pb2.CancelVideoRequest, context: _Context
    ) -> video_pb2.CancelVideoResponse:
        """Stop a job."""
        return await self._videos.CancelVideo(request, context)

    async def DeleteVideo(  # noqa: N802
        self, request: video_pb2.DeleteVideoRequest, context: _Context
    ) -> video_pb2.DeleteVideoResponse:
        """Remove a job."""
        return await self._videos.DeleteVideo(request, context)

    async def UploadMedia(  # noqa: N802
        self, request_iterator: AsyncIterator[generation_service_pb2.UploadMediaRequest], context: _Context
    ) -> generation_service_pb2.UploadMediaResponse:
        """Store an input picture."""
        del context
        row = await receive_upload(request_iterator, self._media)
        return generation_service_pb2.UploadMediaResponse(media=media_to_grpc(row))

    async def GetMedia(  # noqa: N802
        self, request: generation_service_pb2.GetMediaRequest, context: _Context
    ) -> generation_service_pb2.GetMediaResponse:
        """The description of a stored file."""
        del context
        row = await self._media.get(request.media_id, api_key_id=request.api_key_id)
        response = generation_service_pb2.GetMediaResponse(media=media_to_grpc(row))
        if request.conversion:
            converted = await self._conversions.find(row.media_id, request.conversion)
            if converted is not None:
                response.conversion.CopyFrom(media_to_grpc(converted))
        return response

    async def KeepConversion(  # noqa: N802
        self, request: generation_service_pb2.KeepConversionRequest, context: _Context
    ) -> generation_service_pb2.KeepConversionResponse:
        """A picture is stored in another format, too."""
        del context
        await self._conversions.keep(request.media_id, request.conversion, request.stored)
        return generation_service_pb2.KeepConversionResponse()

    async def ListMedia(  # noqa: N802
        self, request: generation_service_pb2.ListMediaRequest, context: _Context
    ) -> generation_service_pb2.ListMediaResponse:
        """The stored files of a key."""
        del context
        return await media_page(request, self._media)

    async def DeleteMedia(  # noqa: N802
        self, request: generation_service_pb2.DeleteMediaRequest, context: _Context
    ) -> generation_service_pb2.DeleteMediaResponse:
        """Remove a stored file."""
        del context
        await self._media.delete(await self._media.get_own(request.media_id, api_key_id=request.api_key_id))
        return generation_service_pb2.DeleteMediaResponse()

    async def GetGenerationStats(  # noqa: N802
        self, request: generation_service_pb2.GetGenerationStatsRequest, context: _Context
    ) -> generation_service_pb2.GetGenerationStatsResponse:
        """Numbers for dashboards."""
        del request, context
        return await self._stats.read()

    async def ListAttempts(  # noqa: N802
        self, request: attempt_pb2.ListAttemptsRequest, context: _Context
    ) -> attempt_pb2.ListAttemptsResponse:
        """Where a generation was tried."""
        del context
        return await self._attempts.of_generation(request.generation_id)

    async def ListRequestLogs(  # noqa: N802
        self, request: generation_service_pb2.ListRequestLogsRequest, context: _Context
    ) -> generation_service_pb2.ListRequestLogsResponse:
        """The request log."""
        del context
        return await self._request_logs.page(request)

    async def GetUsage(  # noqa: N802
        self, request: ledger_pb2.GetUsageRequest, context: _Context
    ) -> ledger_pb2.GetUsageResponse:
        """What generations took."""
        del context
        return await self._ledger.usage(request)

    async def ListLedgerEntries(  # noqa: N802
        self, request: ledger_pb2.ListLedgerEntriesRequest, context: _Context
    ) -> ledger_pb2.ListLedgerEntriesResponse:
        """The ledger."""
        del context
        return await self._ledger.page(request)

    async def ResolveLedgerEntry(  # noqa: N802
        self, request: ledger_pb2.ResolveLedgerEntryRequest, context: _Context
    ) -> ledger_pb2.ResolveLedgerEntryResponse:
        """Decide a dispute."""
        del context
        return await self._ledger.resolve(request)
