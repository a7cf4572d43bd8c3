"""Which clips are taken to need equally long."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Series:
    """Clips of one upstream model, kind, length in seconds and resolution."""

    provider: str
    upstream_model: str
    kind: str
    duration_seconds: int
    resolution: str

    @property
    def key(self) -> str:
        """Its name in the table and in logs, e.g. ``flow/veo_3_1_t2v_fast/text/8s/720p``."""
        return f"{self.provider}/{self.upstream_model}/{self.kind}/{self.duration_seconds}s/{self.resolution}"[:256]
