"""Every table of the service, so that the metadata is complete once this is imported."""

from __future__ import annotations

from flow2api_generation_service.attempts.models import AttemptRow
from flow2api_generation_service.durations.models import VideoDurationRow
from flow2api_generation_service.image_jobs import models as image_job_models
from flow2api_generation_service.images.models import IdempotencyKeyRow
from flow2api_generation_service.ledger.models import LedgerDayRow, LedgerEntryRow, LedgerSumRow
from flow2api_generation_service.media.models import MediaRow
from flow2api_generation_service.models_base import Base
from flow2api_generation_service.requestlog.models import DailyStatsRow, RequestLogRow
from flow2api_generation_service.runtime.models import SettingChangeRow, SettingRow
from flow2api_generation_service.videos import models as video_models
from flow2api_generation_service.webhooks import models as webhook_models

metadata = Base.metadata

__all__ = [
    "AttemptRow",
    "DailyStatsRow",
    "IdempotencyKeyRow",
    "LedgerDayRow",
    "LedgerEntryRow",
    "LedgerSumRow",
    "MediaRow",
    "RequestLogRow",
    "SettingChangeRow",
    "SettingRow",
    "VideoDurationRow",
    "image_job_models",
    "metadata",
    "video_models",
    "webhook_models",
]
