"""Why candidates for a lease were passed by, in counts, for people: no token is named."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Final

from flow2api_token_service.health.states import Health, StateReason, TokenState

METADATA_KEY: Final = "passed_by"
"""Where errors carry it: see AcquireLease in token_service.proto."""


class PassedBecause(StrEnum):
    """Why a token could not serve; what rests for a model also has the reasons of its rest."""

    BUSY = "busy"
    MINUTE_FULL = "minute_full"
    RATE_LIMITED = "rate_limited"
    QUOTA = "quota"
    CREDITS = "credits"
    TIER = "tier"
    TIER_DENIED = "tier_denied"
    MODEL_NOT_HERE = "model_not_here"
    ERRORS = "errors"
    NO_ACCESS = "no_access"
    RESTING = "resting"
    DISABLED = "disabled"
    KIND_OFF = "kind_off"
    TRIED = "tried"
    RESTORING = "restoring"
    FREE_NOW = "free_now"
    NOT_LOOKED_AT = "not_looked_at"


@dataclass(frozen=True, slots=True)
class Passed:
    """One candidate that was not served. ``earliest``: when one of its tokens will do by itself, where that is known.

    ``is_nowhere``: every token that could serve it works where there is no such model.
    """

    candidate_index: int
    token_counts: Mapping[str, int]
    earliest: datetime | None = None
    is_nowhere: bool = False


_OF_STATE: Mapping[str, PassedBecause] = MappingProxyType(
    {
        StateReason.RATE_LIMITED: PassedBecause.RATE_LIMITED,
        StateReason.QUOTA: PassedBecause.QUOTA,
        StateReason.CREDITS: PassedBecause.CREDITS,
        StateReason.ERRORS: PassedBecause.ERRORS,
        StateReason.AUTH_REJECTED: PassedBecause.NO_ACCESS,
    }
)
# In this order, the most telling ones first.
_PHRASES: Mapping[PassedBecause, str] = MappingProxyType(
    {
        PassedBecause.MODEL_NOT_HERE: "work where the upstream has no such model",
        PassedBecause.BUSY: "are busy",
        PassedBecause.MINUTE_FULL: "have reached their requests per minute",
        PassedBecause.RATE_LIMITED: "rest because the upstream asked for it",
        PassedBecause.QUOTA: "have used up the day's quota",
        PassedBecause.CREDITS: "have too few credits",
        PassedBecause.TIER_DENIED: "have a plan without the model",
        PassedBecause.TIER: "have a plan that is too small",
        PassedBecause.ERRORS: "are set aside after errors",
        PassedBecause.NO_ACCESS: "could not renew their access",
        PassedBecause.RESTING: "rest",
        PassedBecause.TRIED: "were tried before",
        PassedBecause.DISABLED: "are switched off or wait for their owner",
        PassedBecause.KIND_OFF: "are not used for this",
        PassedBecause.RESTORING: "are being taken stock of",
    }
)


def why_of(health: Health) -> PassedBecause | None:
    """What keeps a token from being active; None for one that is."""
    if health.state is TokenState.ACTIVE:
        return None
    return _OF_STATE.get(health.reason, PassedBecause.RESTING)


def with_reasons(sentence: str, passed: Sequence[Passed]) -> str:
    """A sentence and why that is so; it goes to clients, so it names neither tokens nor how many there are."""
    counts: Counter[str] = Counter()
    for each in passed:
        counts.update(each.token_counts)
    phrases = [phrase for reason, phrase in _PHRASES.items() if counts[reason]]
    if not phrases:
        return sentence
    if len(phrases) == 1:
        # A few of a large pool were looked at, or some have come free meanwhile.
        whole = "Some" if counts[PassedBecause.NOT_LOOKED_AT] or counts[PassedBecause.FREE_NOW] else "All"
        return f"{sentence} {whole} of them {phrases[0]}."
    return f"{sentence} Some {', others '.join(phrases)}."


def to_metadata(passed: Sequence[Passed]) -> dict[str, str]:
    """What errors carry, for the service that asked."""
    rows: list[dict[str, Any]] = [
        {
            "candidate": each.candidate_index,
            "tokens": dict(each.token_counts),
            "until_ms": None if each.earliest is None else int(each.earliest.timestamp() * 1000),
            "nowhere": each.is_nowhere,
        }
        for each in passed
    ]
    return {METADATA_KEY: json.dumps(rows)} if rows else {}
