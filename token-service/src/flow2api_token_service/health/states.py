"""The health of a token, and what changes it: the table of docs/design.md, section 6, as pure functions of time.

::

    active ──429 on two models──> cooling ──time──> active
    active ──quota──────────────> parked ──time──> active
    active ──credits────────────> parked ──credits seen──> active
    active ──verification, 403──> parked ──administrator──> active
    active ──3 errors, 401──────> suspect ──probe──> active (one more error sends it back, for longer)
    any ─────dead secret, admin─> disabled ──administrator──> active

Beside its state a token has *rests*: upstream models that it is not used for until a time. What is cooling, or parked
until a time, is active again from then on without anybody writing it down; see `Health.state_at`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum

ERROR_THRESHOLD = 3
FIRST_PAUSE = timedelta(minutes=1)
LONGEST_COOLDOWN = timedelta(hours=12)
LONGEST_PROBE_PAUSE = timedelta(minutes=30)
QUOTA_PAUSE = timedelta(hours=24)
"""The hour at which daily quotas begin anew is not known (docs/upstream/flow.md, section 12)."""
TIER_PAUSE = timedelta(days=7)
MODEL_PAUSE = timedelta(days=1)
"""How long a token is not used for a model that its location has not got; then somebody may have got it there."""
LONGEST_RETRY_AFTER = timedelta(hours=24)
REST_MEMORY = timedelta(hours=24)
"""How long a rest that is over is remembered, to grow if it is followed by another one."""


class TokenState(StrEnum):
    """The states; their names are those of flow2api.tokens.v1.TokenState."""

    ACTIVE = "active"
    COOLING = "cooling"
    PARKED = "parked"
    SUSPECT = "suspect"
    DISABLED = "disabled"


class Outcome(StrEnum):
    """How a generation ended; the names are those of flow2api.tokens.v1.Outcome."""

    OK = "ok"
    UNUSED = "unused"
    RATE_LIMITED = "rate_limited"
    MODEL_QUOTA_EXHAUSTED = "model_quota_exhausted"
    ACCOUNT_QUOTA_EXHAUSTED = "account_quota_exhausted"
    CREDITS_EXHAUSTED = "credits_exhausted"
    AUTH_REJECTED = "auth_rejected"
    TIER_DENIED = "tier_denied"
    VERIFICATION_REQUIRED = "verification_required"
    FORBIDDEN = "forbidden"
    UPSTREAM_ERROR = "upstream_error"
    NETWORK_ERROR = "network_error"
    CONTENT_REJECTED = "content_rejected"
    BAD_INPUT = "bad_input"
    MODEL_GONE = "model_gone"
    MODEL_NOT_HERE = "model_not_here"
    PROXY_FAILED = "proxy_failed"


class StateReason(StrEnum):
    """Why a token is not active; an upstream's own reason or an administrator's word may stand in its place."""

    RATE_LIMITED = "rate_limited"
    QUOTA = "quota"
    CREDITS = "credits"
    VERIFICATION = "verification_required"
    FORBIDDEN = "forbidden"
    ERRORS = "errors"
    AUTH_REJECTED = "auth_rejected"
    TIER_DENIED = "tier_denied"
    MODEL_NOT_HERE = "model_not_here"
    ADMIN = "admin"


FAULTLESS = frozenset(
    {
        Outcome.OK,
        Outcome.UNUSED,
        Outcome.CONTENT_REJECTED,
        Outcome.BAD_INPUT,
        Outcome.MODEL_GONE,
        Outcome.PROXY_FAILED,
    },
)
"""Outcomes that are no failure of the token or its upstream."""

WITHOUT_EFFECT = FAULTLESS - {Outcome.OK}
"""Outcomes that change nothing about the token's health."""


@dataclass(frozen=True, slots=True)
class Rest:
    """Until when a token is not used for one model; ``level`` counts the rests in a row."""

    until: datetime
    level: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """The health of one token. ``until``: when it leaves its state (SUSPECT: when it is probed); None: not by time."""

    state: TokenState = TokenState.ACTIVE
    reason: str = ""
    since: datetime
    until: datetime | None = None
    consecutive_errors: int = 0
    cooldown_level: int = 0
    suspect_level: int = 0
    rests: Mapping[str, Rest] = field(default_factory=dict)

    def state_at(self, now: datetime) -> TokenState:
        """The state, seen at a time: a pause that is over needs nobody to end it."""
        if self.state in (TokenState.COOLING, TokenState.PARKED) and self.until is not None and self.until <= now:
            return TokenState.ACTIVE
        return self.state

    @property
    def is_sick(self) -> bool:
        """Whether a success changes something (rests apart: those are known by model)."""
        return self.state is not TokenState.ACTIVE or bool(
            self.consecutive_errors or self.cooldown_level or self.suspect_level
        )


_SEVERITY = {
    TokenState.ACTIVE: 0,
    TokenState.COOLING: 1,
    TokenState.PARKED: 2,
    TokenState.SUSPECT: 3,
    TokenState.DISABLED: 5,
}
_WAITING_FOR_A_PERSON = 4


@dataclass(frozen=True, slots=True)
class UpstreamFacts:
    """What is known of a token's provider, and of its own word for an outcome.

    ``quotas_per_model``: limits are counted per model, so that several of them reached say nothing about the token.
    ``final_reason``: the upstream's word for what puts the whole token out of use until a person has done something;
    empty where it has said no such thing.
    """

    quotas_per_model: bool = False
    final_reason: str = ""


_NO_FACTS = UpstreamFacts()


def after_outcome(
    health: Health,
    outcome: Outcome,
    *,
    upstream_model: str,
    retry_after: timedelta | None,
    now: datetime,
    facts: UpstreamFacts = _NO_FACTS,
) -> Health:
    """The health after a generation on ``upstream_model`` has ended like this.

    Outcomes of generations that were in flight when the token was set aside never make its pause longer, and never
    bring back what waits for a person.
    """
    health = settled(health, now)
    pause = min(retry_after, LONGEST_RETRY_AFTER) if retry_after is not None else None
    match outcome:
        case Outcome.OK:
            return _after_success(health, upstream_model, now)
        case Outcome.RATE_LIMITED:
            return _after_rate_limit(health, upstream_model, pause, now, model_alone=facts.quotas_per_model)
        case Outcome.MODEL_QUOTA_EXHAUSTED | Outcome.TIER_DENIED | Outcome.MODEL_NOT_HERE:
            return _with_rest(health, upstream_model, _rest_after(outcome, pause, now))
        case Outcome.ACCOUNT_QUOTA_EXHAUSTED:
            return _moved(health, TokenState.PARKED, StateReason.QUOTA, now, until=now + (pause or QUOTA_PAUSE))
        case Outcome.CREDITS_EXHAUSTED:
            return _moved(health, TokenState.PARKED, facts.final_reason or StateReason.CREDITS, now)
        case Outcome.VERIFICATION_REQUIRED:
            return _moved(health, TokenState.PARKED, StateReason.VERIFICATION, now)
        case Outcome.AUTH_REJECTED:
            return _moved(health, TokenState.SUSPECT, StateReason.AUTH_REJECTED, now, until=now)
        case Outcome.FORBIDDEN:
            return _after_refusal(health, facts, now)
        case Outcome.UPSTREAM_ERROR | Outcome.NETWORK_ERROR:
            health = _after_error(health, TokenState.SUSPECT, StateReason.ERRORS, now)
            named = pause if outcome is Outcome.UPSTREAM_ERROR else None
            return _with_named_pause(health, upstream_model, named, now)
        case Outcome.UNUSED | Outcome.CONTENT_REJECTED | Outcome.BAD_INPUT | Outcome.MODEL_GONE | Outcome.PROXY_FAILED:
            return health


def after_probe(health: Health, *, passed: bool, now: datetime) -> Health:
    """The health of a SUSPECT token after it was looked at; others stay as they are.

    A token that passes is one error away from being suspect again, for longer; only a success ends that.
    """
    if health.state is not TokenState.SUSPECT:
        return health
    if passed:
        errors = min(health.consecutive_errors, ERROR_THRESHOLD - 1)
        return replace(health, state=TokenState.ACTIVE, reason="", since=now, until=None, consecutive_errors=errors)
    level = health.suspect_level + 1
    return replace(health, suspect_level=level, until=now + _growing(level, LONGEST_PROBE_PAUSE))


def after_credits_seen(health: Health, *, credit_count: int | None, now: datetime) -> Health:
    """The health after the credits were read: a token that was parked for them comes back when there are some."""
    if health.state is TokenState.PARKED and health.reason == StateReason.CREDITS and (credit_count or 0) > 0:
        return replace(health, state=TokenState.ACTIVE, reason="", since=now, until=None)
    return health


def enabled(now: datetime) -> Health:
    """The health of a token that an administrator brings back, whatever it was."""
    return Health(since=now)


def disabled(health: Health, *, reason: str, now: datetime) -> Health:
    """The health of a token that is dead or switched off; the first reason stays."""
    return _moved(health, TokenState.DISABLED, reason, now)


def waits_for_person(health: Health) -> bool:
    """Whether neither time nor a look upstream brings the token back."""
    if health.state is TokenState.PARKED:
        return health.until is None and health.reason != StateReason.CREDITS
    return health.state is TokenState.DISABLED


def settled(health: Health, now: datetime) -> Health:
    """The same health with what time has ended since taken out."""
    rests = {model: rest for model, rest in health.rests.items() if rest.until + REST_MEMORY > now}
    health = replace(health, rests=rests)
    if health.state is not TokenState.ACTIVE and health.state_at(now) is TokenState.ACTIVE:
        return replace(health, state=TokenState.ACTIVE, reason="", since=health.until or now, until=None)
    return health


def _severity(health: Health) -> int:
    if health.state is TokenState.PARKED and waits_for_person(health):
        return _WAITING_FOR_A_PERSON
    return _SEVERITY[health.state]


def _moved(health: Health, state: TokenState, reason: str, now: datetime, *, until: datetime | None = None) -> Health:
    """The health in a new state, unless it is in one that is as bad or worse."""
    moved = replace(health, state=state, reason=reason, since=now, until=until)
    return moved if _severity(moved) > _severity(health) else health


def _with_rest(health: Health, model: str, rest: Rest) -> Health:
    return replace(health, rests={**health.rests, model: rest})


def _after_success(health: Health, model: str, now: datetime) -> Health:
    rests = {name: rest for name, rest in health.rests.items() if name != model or rest.until > now}
    health = replace(health, rests=rests, consecutive_errors=0)
    if health.state is TokenState.SUSPECT:
        return replace(health, state=TokenState.ACTIVE, reason="", since=now, until=None, suspect_level=0)
    if health.state is TokenState.ACTIVE:
        return replace(health, cooldown_level=0, suspect_level=0)
    return health


def _after_rate_limit(
    health: Health, model: str, pause: timedelta | None, now: datetime, *, model_alone: bool
) -> Health:
    before = health.rests.get(model)
    if before is not None and before.until > now:
        # It was in flight when the rest began; only what the upstream asks for makes the rest longer.
        until = max(before.until, now + (pause or timedelta(0)))
        return _with_rest(health, model, replace(before, until=until))
    repeats = not model_alone and any(
        rest.until > now and rest.reason == StateReason.RATE_LIMITED
        for name, rest in health.rests.items()
        if name != model
    )
    level = (before.level if before else 0) + 1
    rest = Rest(now + (pause or _growing(level, LONGEST_COOLDOWN)), level, StateReason.RATE_LIMITED)
    health = _with_rest(health, model, rest)
    if not repeats or health.state is not TokenState.ACTIVE:
        return health
    level = health.cooldown_level + 1
    until = now + (pause or _growing(level, LONGEST_COOLDOWN))
    health = replace(health, cooldown_level=level)
    return _moved(health, TokenState.COOLING, StateReason.RATE_LIMITED, now, until=until)


def _after_refusal(health: Health, facts: UpstreamFacts, now: datetime) -> Health:
    if facts.final_reason:
        return _moved(health, TokenState.PARKED, facts.final_reason, now)
    return _after_error(health, TokenState.PARKED, StateReason.FORBIDDEN, now)


def _rest_after(outcome: Outcome, pause: timedelta | None, now: datetime) -> Rest:
    if outcome is Outcome.MODEL_QUOTA_EXHAUSTED:
        return Rest(now + (pause or QUOTA_PAUSE), 0, StateReason.QUOTA)
    if outcome is Outcome.TIER_DENIED:
        return Rest(now + TIER_PAUSE, 0, StateReason.TIER_DENIED)
    return Rest(now + MODEL_PAUSE, 0, StateReason.MODEL_NOT_HERE)


def _after_error(health: Health, state: TokenState, reason: StateReason, now: datetime) -> Health:
    health = replace(health, consecutive_errors=health.consecutive_errors + 1)
    if health.consecutive_errors < ERROR_THRESHOLD:
        return health
    if state is TokenState.PARKED:
        return _moved(health, state, reason, now)
    level = health.suspect_level + 1
    moved = _moved(health, state, reason, now, until=now + _growing(level, LONGEST_PROBE_PAUSE))
    return health if moved is health else replace(moved, suspect_level=level)


def _with_named_pause(health: Health, model: str, pause: timedelta | None, now: datetime) -> Health:
    """An upstream that fails and says until when is not asked for the model before that."""
    before = health.rests.get(model)
    if not pause or (before is not None and before.until >= now + pause):
        return health
    level, reason = (before.level, before.reason) if before is not None else (0, StateReason.ERRORS)
    return _with_rest(health, model, Rest(now + pause, level, reason))


def _growing(level: int, longest: timedelta) -> timedelta:
    # The exponent is bounded so that the product stays a valid timedelta.
    doublings: int = 2 ** min(level - 1, 20)
    return min(FIRST_PAUSE * doublings, longest)
