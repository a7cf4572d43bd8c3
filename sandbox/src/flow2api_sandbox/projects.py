"""Projects of Google's cloud, and which models are served where.

Source: docs/upstream/google-official.md, sections 1, 2 and 10.
"""

import re
import zlib
from dataclasses import dataclass
from enum import StrEnum
from fnmatch import fnmatchcase

from pydantic import BaseModel, ConfigDict, Field

GEMINI_API = "gemini-api"
"""In place of a location: the Gemini API, which has none."""
_LOCATION = re.compile(r"global|us|eu|[a-z]+-[a-z]+[1-9]\d?")
_MODEL = re.compile(r"[a-z0-9][a-z0-9.@-]{0,127}")


class ProjectState(StrEnum):
    """What a project is good for on Vertex."""

    OK = "ok"
    SERVICE_DISABLED = "service_disabled"
    BILLING_DISABLED = "billing_disabled"
    SUSPENDED = "suspended"


@dataclass(slots=True)
class Project:
    """A project; it pays, and quotas are counted against it."""

    project_id: str
    state: ProjectState = ProjectState.OK

    @property
    def number(self) -> str:
        """The number that messages name it by; equal ids have equal numbers."""
        return str(100_000_000_000 + zlib.crc32(self.project_id.encode()))


class Availability(BaseModel):
    """Whether models are served in locations; both are shell-like patterns. ``gemini-api`` is the Gemini API."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str = Field(min_length=1)
    location: str = "*"
    is_served: bool


# Source: section 1: Veo has left the Gemini API, the previews have gone everywhere.
_USUAL = (
    Availability(model="veo-*", location=GEMINI_API, is_served=False),
    Availability(model="*-preview", is_served=False),
)


class AvailabilityBook:
    """What is served where: everything that the tables have, but for the rules; the last rule that fits decides."""

    def __init__(self) -> None:
        self.rules: list[Availability] = list(_USUAL)

    def add(self, rule: Availability) -> None:
        """Put a rule in force, over those before it and in place of one for the same."""
        self.rules = [each for each in self.rules if (each.model, each.location) != (rule.model, rule.location)]
        self.rules.append(rule)

    def clear(self) -> None:
        """Back to what is usual."""
        self.rules = list(_USUAL)

    def serves(self, model: str, location: str) -> bool:
        """Whether a model is served in a location."""
        for rule in reversed(self.rules):
            if fnmatchcase(model, rule.model) and fnmatchcase(location, rule.location):
                return rule.is_served
        return True


def is_location(text: str) -> bool:
    """Whether that can be a location of Vertex."""
    return _LOCATION.fullmatch(text) is not None


def is_model_id(text: str) -> bool:
    """Whether that can be the id of a model."""
    return _MODEL.fullmatch(text) is not None
