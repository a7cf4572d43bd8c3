"""What the Gemini side remembers: files and interactions, each belonging to one API key."""

from dataclasses import dataclass, field
from typing import Any

from flow2api_sandbox.faults import Fault
from flow2api_sandbox.media.recipes import Recipe


@dataclass(slots=True)
class GeminiFile:
    """One file; ``source`` is ``UPLOADED`` or ``GENERATED``. Times are seconds of the sandbox's clock."""

    file_id: str
    owner: str
    recipe: Recipe
    size_bytes: int
    created_at: float
    active_at: float
    source: str
    display_name: str = ""
    sha256: str = ""
    course: "Interaction | None" = None


@dataclass(slots=True)
class UploadSession:
    """A resumable upload under way."""

    owner: str
    mime_type: str
    display_name: str
    expected_size: int | None
    content: bytearray = field(default_factory=bytearray)


@dataclass(slots=True)
class Interaction:
    """One interaction from creation to its end."""

    interaction_id: str
    owner: str
    model: str
    prompt: str
    created_at: float
    duration: float
    output_type: str
    recipe: Recipe
    delivery: str
    request: dict[str, Any]
    input_images: int = 0
    fault: Fault | None = None
    file_id: str | None = None
    is_stored: bool = True
    cancelled_at: float | None = None
    settled: bool = False
    spoiled_answers: int = 0


@dataclass(slots=True)
class GeminiStore:
    """All files, uploads and interactions of all keys."""

    files: dict[str, GeminiFile] = field(default_factory=dict)
    uploads: dict[str, UploadSession] = field(default_factory=dict)
    interactions: dict[str, Interaction] = field(default_factory=dict)
