"""What an operator or a test may choose about the sandbox.

Read from ``FLOW2API_SANDBOX_*``; every duration is real Google-like time and is multiplied by ``time_scale``.
"""

from datetime import timedelta
from enum import StrEnum
from typing import Annotated

from pydantic import BeforeValidator, Field
from pydantic_settings import BaseSettings, SettingsConfigDict


def _seconds_to_number(value: object) -> object:
    try:
        return float(value) if isinstance(value, str) else value
    except ValueError:
        return value


Duration = Annotated[timedelta, BeforeValidator(_seconds_to_number)]
"""Seconds as a number, or ISO 8601 (``PT2.5S``)."""


class AnswerForm(StrEnum):
    """Which shape Flow's video answers have. Source: docs/upstream/flow.md, sections 8 and 9."""

    CURRENT = "current"
    OLD = "old"
    BOTH = "both"


class UploadAnswer(StrEnum):
    """Which of the three seen shapes an image upload answers. Source: docs/upstream/flow.md, section 6."""

    MEDIA = "media"
    MEDIA_LIST = "media_list"
    MEDIA_GENERATION_ID = "media_generation_id"


class ImageDelivery(StrEnum):
    """Where a generated Flow picture is: behind a signed link or inside the answer."""

    FIFE_URL = "fife_url"
    ENCODED_IMAGE = "encoded_image"


class SandboxSettings(BaseSettings):
    """Everything that can be set; frozen, so one object describes one run."""

    model_config = SettingsConfigDict(env_prefix="FLOW2API_SANDBOX_", frozen=True, extra="forbid")

    host: str = "127.0.0.1"
    port: int = Field(default=8090, ge=0, le=65535, description="0 takes a free port.")
    public_url: str | None = Field(default=None, description="Base of links; default: what the request named.")

    seed_accounts: int = Field(default=3, ge=0, description="Flow accounts sandbox-st-1, sandbox-st-2, …")
    seed_credits: int = Field(default=100_000, ge=0, description="Credits of each seed account.")
    seed_api_keys: int = Field(default=3, ge=0, description="Gemini keys sandbox-key-1, sandbox-key-2, …")

    seed_service_accounts: int = Field(
        default=3, ge=0, description="Projects sandbox-project-1, … with service account, express key, user and bucket."
    )

    time_scale: float = Field(default=1.0, ge=0, description="Factor on every duration; 0 = at once.")
    image_latency: Duration = timedelta(seconds=12)
    upload_latency: Duration = timedelta(seconds=1)
    fast_video_duration: Duration = timedelta(seconds=90)
    quality_video_duration: Duration = timedelta(seconds=180)
    lite_video_duration: Duration = timedelta(seconds=60)
    omni_video_duration: Duration = timedelta(seconds=80)
    upsample_1080p_duration: Duration = timedelta(seconds=120)
    upsample_4k_duration: Duration = timedelta(seconds=600)
    concat_duration: Duration = timedelta(seconds=20)
    storing_delay: Duration = Field(
        default=timedelta(seconds=4), description="From SUCCESSFUL to the moment the file can be fetched."
    )

    access_token_lifetime: Duration = Field(default=timedelta(hours=1), description="Not scaled.")
    access_token_reuse: Duration = Field(
        default=timedelta(minutes=5), description="auth/session gives a new token when less is left; not scaled."
    )
    upload_lifetime: Duration = Field(default=timedelta(hours=1), description="Ids of uploads; not scaled.")
    signed_url_lifetime: Duration = Field(default=timedelta(hours=24), description="Not scaled.")
    rotate_session_tokens: bool = Field(default=False, description="auth/session sends a renewed cookie.")

    image_cap: int | None = Field(default=None, ge=0, description="Pictures at once per account, else 429.")
    video_cap: int | None = Field(default=None, ge=0, description="Clips at once per account, else 429.")

    answer_form: AnswerForm = AnswerForm.CURRENT
    upload_answer: UploadAnswer = UploadAnswer.MEDIA
    image_delivery: ImageDelivery = ImageDelivery.FIFE_URL
    status_has_url: bool = Field(default=False, description="Since June 2026 the status has no URL.")

    render_prompt: bool = Field(
        default=True, description="False: pictures show no prompt and come from 16 seeds, for benchmarks."
    )
    picture_cache_bytes: int = Field(default=64 * 1024 * 1024, ge=0)
    max_image_bytes: int = Field(default=20 * 1024 * 1024, gt=0)
    max_body_bytes: int = Field(default=64 * 1024 * 1024, gt=0)

    def scaled(self, duration: timedelta) -> float:
        """Seconds that a duration takes in this run."""
        return duration.total_seconds() * self.time_scale
