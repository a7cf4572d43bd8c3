"""Quotas of a project for a model in a location, and the refusals of those who pass them.

Source: docs/upstream/google-official.md, section 10. A minute is the last sixty seconds; a day ends at midnight US
Pacific, taken as UTC-8 all the year.
"""

from collections import deque
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any, NamedTuple, Protocol

from pydantic import BaseModel, ConfigDict, Field

from flow2api_sandbox.errors import ApiError
from flow2api_sandbox.projects import GEMINI_API

_MINUTE = 60.0
_DAY = 86_400.0
_PACIFIC_OFFSET = 8 * 3600.0
_CONCURRENT_RETRY_SECONDS = 1.0
_TYPE = "type.googleapis.com/google.rpc."
_HELP_URL = "https://cloud.google.com/vertex-ai/docs/generative-ai/quotas-genai"
_GEMINI_HELP_URL = "https://ai.google.dev/gemini-api/docs/rate-limits"


class QuotaKey(NamedTuple):
    """What quotas are counted by; ``gemini-api`` is the location of the Gemini API."""

    project: str
    location: str
    model: str


class Quota(BaseModel):
    """Limits for whatever the shell-like patterns fit; absent ones are unlimited, 0 means that there is none."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    project: str = "*"
    location: str = "*"
    model: str = "*"
    per_minute: int | None = Field(default=None, ge=0)
    per_day: int | None = Field(default=None, ge=0)
    concurrent: int | None = Field(default=None, ge=0)

    def fits(self, key: QuotaKey) -> bool:
        """Whether it limits that key."""
        return (
            fnmatchcase(key.project, self.project)
            and fnmatchcase(key.location, self.location)
            and fnmatchcase(key.model, self.model)
        )


class Running(Protocol):
    """Something that ends by itself."""

    def is_over(self, now: float) -> bool:
        """Whether it has ended."""


@dataclass(slots=True)
class _Use:
    works: list[Running] = field(default_factory=list)
    recent: deque[float] = field(default_factory=deque)
    day: int = 0
    today: int = 0
    running: int = 0
    highest: int = 0
    highest_per_minute: int = 0
    refused: int = 0

    def move_to(self, now: float) -> None:
        while self.recent and self.recent[0] <= now - _MINUTE:
            self.recent.popleft()
        day = int((now - _PACIFIC_OFFSET) // _DAY)
        if day != self.day:
            self.day, self.today = day, 0
        lasting = [work for work in self.works if not work.is_over(now)]
        self.running -= len(self.works) - len(lasting)
        self.works = lasting


class QuotaBook:
    """The quotas in force, and the use that was made of each project, location and model."""

    def __init__(self) -> None:
        self._quotas: list[Quota] = []
        self._uses: dict[QuotaKey, _Use] = {}

    def add(self, quota: Quota) -> None:
        """Put a quota in force, in place of one with the same patterns. The last that fits decides."""
        same = (quota.project, quota.location, quota.model)
        self._quotas = [each for each in self._quotas if (each.project, each.location, each.model) != same]
        self._quotas.append(quota)

    def clear(self) -> None:
        """No quotas any more, and no use; what runs goes on being counted as running."""
        self._quotas.clear()
        self.reset_use()

    def reset_use(self) -> None:
        """Count from zero again."""
        self._uses = {
            key: _Use(works=use.works, running=use.running, highest=use.running)
            for key, use in self._uses.items()
            if use.running
        }

    def begin(self, key: QuotaKey, now: float) -> None:
        """Count a generation that begins. Raises ApiError 429 and counts nothing when a quota is used up."""
        use = self._uses.setdefault(key, _Use())
        use.move_to(now)
        quota = next((each for each in reversed(self._quotas) if each.fits(key)), None)
        if quota is not None:
            self._require(quota, key, use, now)
        use.recent.append(now)
        use.today += 1
        use.running += 1
        use.highest = max(use.highest, use.running)
        use.highest_per_minute = max(use.highest_per_minute, len(use.recent))

    def hold(self, key: QuotaKey, work: Running) -> None:
        """The generation that began is this one, and ends when it is over; nobody calls `end` for it."""
        self._uses.setdefault(key, _Use()).works.append(work)

    def end(self, key: QuotaKey) -> None:
        """A generation ended, well or badly."""
        self._uses.setdefault(key, _Use()).running -= 1

    def as_json(self, now: float) -> dict[str, Any]:
        """The quotas, and the use of everything that was called."""
        uses = []
        for key, use in self._uses.items():
            use.move_to(now)
            uses.append(
                {
                    **key._asdict(),
                    "last_minute": len(use.recent),
                    "highest_per_minute": use.highest_per_minute,
                    "today": use.today,
                    "running": use.running,
                    "highest": use.highest,
                    "refused": use.refused,
                }
            )
        return {"quotas": [each.model_dump() for each in self._quotas], "uses": uses}

    def _require(self, quota: Quota, key: QuotaKey, use: _Use, now: float) -> None:
        error: ApiError | None = None
        if quota.per_day is not None and use.today >= quota.per_day:
            # The delay that comes with a spent day is short and wrong, as section 10 warns.
            error = quota_error(key, "PerDay", quota.per_day, retry_after=_MINUTE - now % _MINUTE)
        elif quota.concurrent is not None and use.running >= quota.concurrent:
            error = quota_error(key, "Concurrent", quota.concurrent, retry_after=_CONCURRENT_RETRY_SECONDS)
        elif quota.per_minute is not None and len(use.recent) >= quota.per_minute:
            oldest = use.recent[0] if use.recent else now
            error = quota_error(key, "PerMinute", quota.per_minute, retry_after=oldest + _MINUTE - now)
        if error is not None:
            use.refused += 1
            raise error


def quota_error(
    key: QuotaKey, window: str, limit: int | str, *, retry_after: float | None, quota_id: str | None = None
) -> ApiError:
    """The 429 of a used-up quota with every detail; ``window`` is ``PerMinute``, ``PerDay`` or ``Concurrent``."""
    is_gemini = key.location == GEMINI_API
    if is_gemini:
        service, metric = "generativelanguage.googleapis.com", "generate_content_paid_tier_requests"
        quota_id = quota_id or _quota_id("Generate", window, "PerProjectPerModel")
        message = (
            "You exceeded your current quota, please check your plan and billing details. For more information on this"
            f" error, head to: {_GEMINI_HELP_URL}."
        )
        dimensions = {"location": "global", "model": key.model}
    else:
        service, metric = "aiplatform.googleapis.com", _vertex_metric(key.model, window)
        quota_id = quota_id or _quota_id("OnlinePrediction", window, "PerProjectPerRegionPerBaseModel")
        message = (
            f"Quota exceeded for {service}/{metric} with base model: {key.model}. Please submit a quota increase"
            f" request. {_HELP_URL}."
        )
        dimensions = {"region": key.location, "base_model": key.model}
    violation = {
        "quotaMetric": f"{service}/{metric}",
        "quotaId": quota_id,
        "quotaDimensions": dimensions,
        "quotaValue": str(limit),
    }
    details: list[dict[str, Any]] = [
        {"@type": _TYPE + "QuotaFailure", "violations": [violation]},
        {"@type": _TYPE + "Help", "links": [_help_link(is_gemini=is_gemini)]},
        {
            "@type": _TYPE + "ErrorInfo",
            "reason": "RATE_LIMIT_EXCEEDED",
            "domain": "googleapis.com",
            "metadata": {
                "service": service,
                "consumer": f"projects/{key.project}",
                "quota_metric": violation["quotaMetric"],
                "quota_limit": quota_id,
                "quota_limit_value": str(limit),
                "quota_location": dimensions.get("region", "global"),
            },
        },
    ]
    if retry_after is not None:
        details.append({"@type": _TYPE + "RetryInfo", "retryDelay": f"{max(retry_after, 0.001):.9g}s"})
        if is_gemini:
            message += f"\nPlease retry in {retry_after:.9g}s."
    return ApiError(429, message, reason=quota_id, retry_after=retry_after, details=details)


def _quota_id(verb: str, window: str, scope: str) -> str:
    return f"Concurrent{verb}Requests{scope}" if window == "Concurrent" else f"{verb}Requests{window}{scope}"


def _vertex_metric(model: str, window: str) -> str:
    if window == "Concurrent":
        return "concurrent_long_running_online_prediction_requests_per_base_model"
    if model.startswith("veo-"):
        return "long_running_online_prediction_requests_per_base_model"
    unit = "day" if window == "PerDay" else "minute"
    return f"generate_content_requests_per_{unit}_per_project_per_base_model"


def _help_link(*, is_gemini: bool) -> dict[str, str]:
    url = _GEMINI_HELP_URL if is_gemini else _HELP_URL
    return {"description": "Learn more about quotas", "url": url}
