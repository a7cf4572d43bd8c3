"""The models of Veo. Source: docs/upstream/google-official.md, sections 1 and 8."""

from dataclasses import dataclass

PIXELS = {"720p": (1280, 720), "1080p": (1920, 1080), "4k": (3840, 2160)}
EXTENSION_SECONDS = 7
LONGEST_SECONDS = 148


@dataclass(frozen=True, slots=True)
class VeoModel:
    """One model; ``grade`` is what the price goes by."""

    model_id: str
    display_name: str
    grade: str
    resolutions: frozenset[str]


_ALL = frozenset(PIXELS)
_UP_TO_1080P = frozenset({"720p", "1080p"})
_GRADES = (
    ("veo-3.1", "veo-3.1-generate", "Veo 3.1", _ALL),
    ("veo-3.1-fast", "veo-3.1-fast-generate", "Veo 3.1 Fast", _ALL),
    ("veo-3.1-lite", "veo-3.1-lite-generate", "Veo 3.1 Lite", _UP_TO_1080P),
)

VEO_MODELS = {
    f"{stem}-{version}": VeoModel(f"{stem}-{version}", name, grade, resolutions)
    for grade, stem, name, resolutions in _GRADES
    for version in ("001", "preview")
}
