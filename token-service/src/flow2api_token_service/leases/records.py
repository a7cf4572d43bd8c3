"""What the pool index in Redis is told and answers, as typed values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any


class LeaseKind(StrEnum):
    """What a lease is for; each token has one limit per kind."""

    IMAGE = "image"
    VIDEO = "video"


class Verdict(StrEnum):
    """What an outcome adds to the counters of a token."""

    OK = "ok"
    ERROR = "error"
    NEUTRAL = "neutral"


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """One way to serve a generation: what the token must be able to do. Affinity None means any token.

    ``per_minute`` and ``at_once`` limit the leases for this model on one token, -1 is unlimited; see `ModelLimits`.
    """

    provider: str
    upstream_model: str
    min_tier: int = 0
    credits: int = 0
    affinity_token_id: int | None = None
    per_minute: int = -1
    at_once: int = -1


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseRequest:
    """A wish for a lease. ``lease_id`` is the id that it gets; ``request_id`` makes a repeat get the same lease."""

    lease_id: str
    request_id: str
    kind: LeaseKind
    candidates: tuple[Candidate, ...]
    api_key_id: str
    duration: timedelta
    excluded_token_ids: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyShare:
    """What the pool knows of an API key: generations in flight (-1 is unlimited), and its weight among those who wait.

    Weights are whole numbers from 1 on; a key of weight 2 is served twice as often as one of 1.
    """

    api_key_id: str
    revision: int = 1
    limit: int = -1
    weight: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseRecord:
    """A lease that was given out."""

    lease_id: str
    token_id: int
    kind: LeaseKind
    api_key_id: str
    upstream_model: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TakenLease:
    """A lease on a token. ``revision`` is that of the token, for whoever keeps things about it."""

    lease: LeaseRecord
    candidate_index: int
    expire_time: datetime
    revision: int


class RefusalReason(StrEnum):
    """Why there is no lease."""

    BUSY = "busy"
    """Nothing is free now."""
    KEY_BUSY = "key_busy"
    """The API key has as many generations in flight as it may."""
    NEVER = "never"
    """No token of the pool could serve this, waiting or not."""
    QUEUE_FULL = "queue_full"
    """As many wait already as may."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """No lease now; ``retry_after`` is a guess of when to ask again."""

    reason: RefusalReason
    retry_after: timedelta = timedelta(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class QueuePlace:
    """Where and how long somebody would wait, and how many may: in all, and of one API key."""

    replica: str
    wait: timedelta
    limit: int
    limit_per_key: int


@dataclass(frozen=True, slots=True)
class Queued:
    """There is no lease now; it will be offered to the replica. ``refusal`` is for when none comes in time."""

    refusal: Refusal


@dataclass(frozen=True, slots=True)
class Offer:
    """A lease for somebody who waits under ``ticket``; it lapses within seconds unless it is accepted."""

    ticket: str
    answer: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Beat:
    """What a replica learns about its waiters, by their tickets.

    ``unknown`` are not in the queue (any more), ``hopeless`` have left it because no token could serve them any more;
    ``next_event`` is how long nothing can come free by itself, None when that is not known.
    """

    offers: tuple[Offer, ...]
    unknown: frozenset[str]
    hopeless: frozenset[str]
    next_event: timedelta | None


class Strategy(StrEnum):
    """Which of the tokens that could serve is chosen."""

    LEAST_LOADED = "least_loaded"
    """The one with the smallest share of its limit taken; the longest unused among equals."""
    ROUND_ROBIN = "round_robin"
    """The longest unused."""
    RANDOM = "random"
    """Any, each as likely."""


class IndexState(StrEnum):
    """What the index has to know of a token's state: what brings it back."""

    ACTIVE = "active"
    RESTING = "resting"
    """Time does, at ``state_until``."""
    WATCHED = "watched"
    """A look upstream does."""
    OFF = "off"
    """A person does."""


@dataclass(frozen=True, slots=True)
class OwnLimit:
    """What a token may be given of an upstream model, or of those that fit a pattern with ``*``.

    -1 is unlimited; None leaves it to the setting.
    """

    upstream_model: str
    per_minute: int | None
    at_once: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolEntry:
    """A token as the index has it. A limit is 0 where the kind is off and -1 where it is unlimited."""

    token_id: int
    provider: str
    tier: int
    credits: int | None
    revision: int
    state: IndexState
    state_until: datetime | None
    image_limit: int
    video_limit: int
    is_sick: bool
    rests: Mapping[str, datetime] = field(default_factory=dict)
    """Until when the token rests, per upstream model."""
    rest_reasons: Mapping[str, str] = field(default_factory=dict)
    """And why, in the words of `StateReason`."""
    why: str = ""
    """What keeps it from being active, in the words of `PassedBecause`; empty for an active one."""
    model_limits: tuple[OwnLimit, ...] = ()
    """The token's own limits, the first that fits counting."""
    quota_group: str = ""
    """With whom it shares the limits of models: tokens of the same group are counted together; empty for alone."""


@dataclass(frozen=True, slots=True)
class Released:
    """What a release found. ``is_sick``: the token remembers something that a success ends."""

    was_live: bool
    is_first: bool
    is_sick: bool


@dataclass(frozen=True, slots=True)
class LiveToken:
    """What SQL does not know about a token: live leases, and counters that are not yet written there."""

    image_leases: int
    video_leases: int
    pending_stats: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class LivePool:
    """The same of several tokens, and the live leases of the whole pool."""

    tokens: Mapping[int, LiveToken]
    image_leases: int
    video_leases: int


@dataclass(frozen=True, slots=True)
class StatsBatch:
    """Counters taken out of Redis, by token, to be written to SQL once under ``batch_id``."""

    batch_id: str
    counters: Mapping[int, Mapping[str, str]]
