"""Pictures, videos and models that gateway tests are answered with."""

# ruff: noqa: N802 - the servicers have the names of the RPCs.

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import grpc

from flow2api_common.errors import (
    FailedPrecondition,
    FieldViolation,
    Flow2APIError,
    InvalidArgument,
    NotFound,
)
from flow2api_common.media_store import MediaStore
from flow2api_proto.access.v1 import request_quota_pb2
from flow2api_proto.generation.v1 import (
    attempt_pb2,
    generation_service_pb2,
    generation_service_pb2_grpc,
    image_pb2,
    ledger_pb2,
    media_pb2,
    video_pb2,
)
from flow2api_testing.gateway_peers.content import MODELS, MP4, picture
from flow2api_testing.gateway_peers.image_jobs import FakeImageJobs


@dataclass
class FakeGeneration(FakeImageJobs, generation_service_pb2_grpc.GenerationServiceServicer):
    """Makes red pictures and lets tests say what videos do."""

    store: MediaStore
    image_requests: list[image_pb2.GenerateImageRequest] = field(default_factory=list)
    video_requests: list[video_pb2.CreateVideoRequest] = field(default_factory=list)
    uploads: dict[str, bytes] = field(default_factory=dict)
    uploads_under_way: int = 0
    most_uploads_under_way: int = 0
    media: dict[str, media_pb2.Media] = field(default_factory=dict)
    conversions: dict[tuple[str, str], media_pb2.Media] = field(default_factory=dict)
    videos: dict[str, video_pb2.Video] = field(default_factory=dict)
    early_error: Flow2APIError | None = None
    queue_error: Flow2APIError | None = None
    late_error: Flow2APIError | None = None
    failed_images: dict[int, image_pb2.ImageFailure] = field(default_factory=dict)
    request_quota: request_quota_pb2.RequestQuota | None = None
    replays: bool = False
    ledger_requests: list[Any] = field(default_factory=list)
    image_gate: asyncio.Event | None = None
    image_cancelled: asyncio.Event = field(default_factory=asyncio.Event)
    video_changed: asyncio.Condition = field(default_factory=asyncio.Condition)
    dies_while_generating: bool = False
    video_ids_by_request: dict[str, str] = field(default_factory=dict)
    watch_requests: list[video_pb2.WatchVideoRequest] = field(default_factory=list)
    listings: list[video_pb2.ListVideosRequest] = field(default_factory=list)
    attempts: dict[str, list[attempt_pb2.Attempt]] = field(default_factory=dict)
    watches: int = 0
    watches_ended: int = 0
    watch_breaks: int = 0
    watch_error: Flow2APIError | None = None

    async def add_media(self, media_id: str, content: bytes, content_type: str, **facts: Any) -> media_pb2.Media:
        """Store a file."""
        key = f"media/{media_id}"
        await self.store.put(key, content, content_type=content_type)
        media = media_pb2.Media(
            media_id=media_id, object_key=key, content_type=content_type, size_bytes=len(content), **facts
        )
        self.media[media_id] = media
        return media

    async def change_video(self, video_id: str, **fields: Any) -> None:
        """Move a job on, as the poller would."""
        async with self.video_changed:
            video = self.videos[video_id]
            video.MergeFrom(video_pb2.Video(**fields))
            video.version += 1
            self.video_changed.notify_all()

    async def complete_video(self, video_id: str) -> None:
        """Give the job its clip."""
        media = await self.add_media(f"clip{video_id.removeprefix('video_')}", MP4, "video/mp4")
        await self.change_video(video_id, state=video_pb2.VIDEO_STATE_COMPLETED, progress_percent=100, media=media)

    async def ListModels(self, request: Any, context: Any) -> Any:
        return generation_service_pb2.ListModelsResponse(models=MODELS)

    async def GetModel(self, request: Any, context: Any) -> Any:
        for model in MODELS:
            if model.model_id == request.model_id:
                return generation_service_pb2.GetModelResponse(model=model)
        raise NotFound(f"The model '{request.model_id}' does not exist.", reason="MODEL_NOT_FOUND")

    async def GenerateImage(self, request: Any, context: Any) -> AsyncIterator[Any]:
        self.image_requests.append(request)
        if self.early_error:
            raise self.early_error
        try:
            for index in range(request.image_count):
                quota = self.request_quota if index == 0 else None
                progress = image_pb2.ImageProgress(stage=image_pb2.IMAGE_STAGE_QUEUED, attempt=1)
                yield self._event(index, progress=progress, request_quota=quota, replayed=self.replays and index == 0)
            if self.image_gate is not None:
                await self.image_gate.wait()
        except (asyncio.CancelledError, GeneratorExit):
            self.image_cancelled.set()
            raise
        if self.queue_error:
            raise self.queue_error
        for index in range(request.image_count):
            if index in self.failed_images:
                yield self._event(index, failure=self.failed_images[index])
                continue
            progress = image_pb2.ImageProgress(stage=image_pb2.IMAGE_STAGE_GENERATING, progress_percent=40, attempt=1)
            yield self._event(index, progress=progress)
            if self.late_error:
                raise self.late_error
            if self.dies_while_generating:
                await context.abort(grpc.StatusCode.UNAVAILABLE, "killed")
            media = await self.add_media(f"pic{len(self.media)}", picture(), "image/png", width=64, height=36)
            usage = image_pb2.Usage(input_tokens=12, input_text_tokens=12, output_tokens=1120)
            yield self._event(index, image=image_pb2.GeneratedImage(media=media, usage=usage))

    def _event(self, index: int, **event: Any) -> image_pb2.GenerateImageResponse:
        return image_pb2.GenerateImageResponse(generation_id="gen1", image_index=index, **event)

    async def CreateVideo(self, request: Any, context: Any) -> Any:
        self.video_requests.append(request)
        if self.early_error:
            raise self.early_error
        if request.request_id in self.video_ids_by_request:
            video = self.videos[self.video_ids_by_request[request.request_id]]
            return video_pb2.CreateVideoResponse(video=video, replayed=True)
        if request.source_video_id and request.source_video_id not in self.videos:
            missing = NotFound("There is no such video.", reason="VIDEO_NOT_FOUND")
            missing.violations = (FieldViolation("source_video_id", missing.message),)
            raise missing
        if request.duration_seconds not in (0, 4, 8):
            raise InvalidArgument.of("duration_seconds", "The model makes clips of 8 or 4 seconds.")
        video_id = f"video_{len(self.videos) + 1}"
        self.videos[video_id] = video_pb2.Video(
            video_id=video_id,
            model_id=request.model_id,
            prompt=request.prompt,
            state=video_pb2.VIDEO_STATE_QUEUED,
            duration_seconds=request.duration_seconds or 8,
            size=media_pb2.Dimensions(width=1280, height=720),
            version=1,
            api_key_id=request.api_key_id,
            source_video_id=request.source_video_id,
            metadata=request.metadata,
        )
        self.videos[video_id].create_time.FromSeconds(1_767_225_600)
        if request.request_id:
            self.video_ids_by_request[request.request_id] = video_id
        return video_pb2.CreateVideoResponse(
            video=self.videos[video_id], request_quota=self.request_quota, replayed=self.replays
        )

    def _video(self, request: Any) -> video_pb2.Video:
        video = self.videos.get(request.video_id)
        if video is None or request.api_key_id not in ("", video.api_key_id):
            raise NotFound("There is no such video.", reason="VIDEO_NOT_FOUND")
        return video

    async def GetVideo(self, request: Any, context: Any) -> Any:
        return video_pb2.GetVideoResponse(video=self._video(request))

    async def ListVideos(self, request: Any, context: Any) -> Any:
        self.listings.append(request)
        videos = list(self.videos.values())
        if request.order != video_pb2.VIDEO_ORDER_OLDEST_FIRST:
            videos.reverse()
        if request.after_video_id:
            ids = [video.video_id for video in videos]
            if request.after_video_id not in ids:
                raise InvalidArgument.of("after_video_id", "There is no such video.")
            videos = videos[ids.index(request.after_video_id) + 1 :]
        size = request.page_size or 20
        return video_pb2.ListVideosResponse(videos=videos[:size], next_page_token="more" if len(videos) > size else "")

    async def WatchVideo(self, request: Any, context: Any) -> AsyncIterator[Any]:
        self.watches += 1
        self.watch_requests.append(request)
        try:
            async for answer in self._versions(request, context):
                yield answer
        finally:
            self.watches_ended += 1

    async def _versions(self, request: Any, context: Any) -> AsyncIterator[Any]:
        if self.watch_error:
            raise self.watch_error
        seen = request.after_version
        video = self._video(request)
        while True:
            if video.version > seen:
                seen = video.version
                yield video_pb2.WatchVideoResponse(video=video)
                if video.state >= video_pb2.VIDEO_STATE_COMPLETED:
                    return
                if self.watch_breaks:
                    self.watch_breaks -= 1
                    await context.abort(grpc.StatusCode.UNAVAILABLE, "going away")
            async with self.video_changed:
                while video.version <= seen:
                    await self.video_changed.wait()

    async def CancelVideo(self, request: Any, context: Any) -> Any:
        video = self._video(request)
        if video.state >= video_pb2.VIDEO_STATE_COMPLETED:
            raise FailedPrecondition("The video has ended.", reason="VIDEO_ALREADY_FINAL")
        was_running = video.state == video_pb2.VIDEO_STATE_IN_PROGRESS
        video.state = video_pb2.VIDEO_STATE_CANCELLED
        return video_pb2.CancelVideoResponse(
            video=video,
            charge=video_pb2.VIDEO_CHARGE_CHARGED if was_running else video_pb2.VIDEO_CHARGE_NONE,
            charged_credits=20 if was_running else None,
        )

    async def DeleteVideo(self, request: Any, context: Any) -> Any:
        del self.videos[self._video(request).video_id]
        return video_pb2.DeleteVideoResponse()

    async def UploadMedia(self, request_iterator: Any, context: Any) -> Any:
        self.uploads_under_way += 1
        self.most_uploads_under_way = max(self.most_uploads_under_way, self.uploads_under_way)
        try:
            return await self._receive(request_iterator)
        finally:
            self.uploads_under_way -= 1

    async def _receive(self, request_iterator: Any) -> Any:
        content, file_name = b"", ""
        async for message in request_iterator:
            assert len(message.chunk) <= 1 << 20
            content += message.chunk
            file_name = file_name or message.description.file_name
        media_id = f"up{len(self.uploads)}"
        self.uploads[media_id] = content
        media = await self.add_media(media_id, content, "image/png")
        media.file_name = file_name
        return generation_service_pb2.UploadMediaResponse(media=media)

    async def GetMedia(self, request: Any, context: Any) -> Any:
        if request.media_id not in self.media:
            raise NotFound("There is no such file.", reason="MEDIA_NOT_FOUND")
        kept = self.conversions.get((request.media_id, request.conversion))
        return generation_service_pb2.GetMediaResponse(media=self.media[request.media_id], conversion=kept)

    async def KeepConversion(self, request: Any, context: Any) -> Any:
        if request.media_id not in self.media:
            raise NotFound("There is no such file.", reason="MEDIA_NOT_FOUND")
        self.conversions[request.media_id, request.conversion] = request.stored
        return generation_service_pb2.KeepConversionResponse()

    async def ListMedia(self, request: Any, context: Any) -> Any:
        before = request.page_token or "~"
        newest = [media for media in reversed(self.media.values()) if media.media_id < before]
        more = newest[request.page_size - 1].media_id if len(newest) > request.page_size else ""
        return generation_service_pb2.ListMediaResponse(media=newest[: request.page_size], next_page_token=more)

    async def DeleteMedia(self, request: Any, context: Any) -> Any:
        if self.media.pop(request.media_id, None) is None:
            raise NotFound("There is no such file.", reason="MEDIA_NOT_FOUND")
        return generation_service_pb2.DeleteMediaResponse()

    async def GetGenerationStats(self, request: Any, context: Any) -> Any:
        return generation_service_pb2.GetGenerationStatsResponse(
            video_count_by_state={"queued": len(self.videos)}, image_count=3
        )

    async def ListAttempts(self, request: Any, context: Any) -> Any:
        return attempt_pb2.ListAttemptsResponse(attempts=self.attempts.get(request.generation_id, []))

    async def ListRequestLogs(self, request: Any, context: Any) -> Any:
        entry = generation_service_pb2.RequestLog(
            generation_id="gen1", operation="image", model_id="m", outcome="ok", duration_ms=1500
        )
        return generation_service_pb2.ListRequestLogsResponse(request_logs=[entry], next_page_token="older")

    async def GetUsage(self, request: Any, context: Any) -> Any:
        self.ledger_requests.append(request)
        if request.filter.first_day == "never":
            raise InvalidArgument.of("first_day", "A day is written YYYY-MM-DD.")
        row = ledger_pb2.UsageRow(
            day="2026-11-23",
            api_key_id="key_1",
            entry_count=2,
            reserved_credits=40,
            settled_credits=20,
            open_credits=20,
        )
        return ledger_pb2.GetUsageResponse(rows=[row])

    async def ListLedgerEntries(self, request: Any, context: Any) -> Any:
        self.ledger_requests.append(request)
        return ledger_pb2.ListLedgerEntriesResponse(entries=[self._entry()], next_page_token="older")

    async def ResolveLedgerEntry(self, request: Any, context: Any) -> Any:
        self.ledger_requests.append(request)
        entry = self._entry()
        entry.state = request.state
        return ledger_pb2.ResolveLedgerEntryResponse(entry=entry)

    def _entry(self) -> Any:
        entry = ledger_pb2.LedgerEntry(
            generation_id="video_1",
            line="generate",
            operation="video",
            state=ledger_pb2.LEDGER_STATE_DISPUTED,
            reserved_credits=20,
            credits=20,
            token_id=3,
        )
        entry.create_time.FromSeconds(1_767_225_600)
        return entry
