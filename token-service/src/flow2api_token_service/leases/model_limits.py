"""Limits of the upstream that are known ahead: leases per minute, and at the same time, on one token for one model."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from flow2api_common.name_patterns import matches_any
from flow2api_token_service.leases.records import Candidate
from flow2api_token_service.settings import ModelLimit


class ModelLimits:
    """The limits of the settings, by `provider/model`, where ``*`` stands for any characters; the first that fits."""

    def __init__(self, limits: Mapping[str, ModelLimit]) -> None:
        self._limits = limits

    def of(self, provider: str, upstream_model: str) -> ModelLimit:
        """What one token may be given of a model; unlimited where nothing fits."""
        name = f"{provider}/{upstream_model}"
        return next((limit for pattern, limit in self._limits.items() if matches_any(name, [pattern])), ModelLimit())

    def applied(self, candidates: Iterable[Candidate]) -> tuple[Candidate, ...]:
        """The candidates with their limits."""
        return tuple(self._applied(candidate) for candidate in candidates)

    def _applied(self, candidate: Candidate) -> Candidate:
        limit = self.of(candidate.provider, candidate.upstream_model)
        return replace(candidate, per_minute=limit.requests_per_minute, at_once=limit.concurrency)
