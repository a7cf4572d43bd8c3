"""Numbers about pictures and videos together."""

from __future__ import annotations

from flow2api_common.clock import Clock
from flow2api_common.database import Database
from flow2api_generation_service.requestlog.repository import RequestLogRepository
from flow2api_generation_service.videos.servicer import VideoRpcs
from flow2api_proto.generation.v1 import generation_service_pb2


class GenerationStats:
    """Reads the sums of the service."""

    def __init__(self, *, database: Database, videos: VideoRpcs, clock: Clock) -> None:
        self._database = database
        self._videos = videos
        self._clock = clock

    async def read(self) -> generation_service_pb2.GetGenerationStatsResponse:
        """The numbers as they are now; today is the UTC day."""
        async with self._database.transaction(read_only=True) as session:
            images = await RequestLogRepository(session).image_totals(self._clock().date())
        by_state, today_video_count = await self._videos.counts()
        return generation_service_pb2.GetGenerationStatsResponse(
            video_count_by_state=by_state,
            image_count=images.image_count,
            image_error_count=images.image_error_count,
            today_image_count=images.today_image_count,
            today_video_count=today_video_count,
        )
