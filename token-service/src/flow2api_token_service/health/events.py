"""What has happened to a token's health, as rows: one per change of the token, and one per model that rests."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from flow2api_token_service.health.models import TokenEventRow
from flow2api_token_service.health.states import Health, settled

TIME = "time"
PAUSE_OVER = "pause_over"
_MAX_LENGTH = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """Who or what changes a token, and why; ``detail`` is the upstream's own word, for people."""

    actor: str
    cause: str
    detail: str = ""


def events_between(token_id: int, before: Health, after: Health, *, cause: Cause, now: datetime) -> list[TokenEventRow]:
    """The changes from one health to another, oldest first; a pause that had ended meanwhile is one of them."""
    events: list[TokenEventRow] = []
    rested = settled(before, now)
    if rested.state is not before.state:
        over = Cause(actor=TIME, cause=PAUSE_OVER)
        events.append(_of_token(token_id, before, rested, cause=over, time=rested.since))
    events += [
        _of_model(token_id, rested, after, model, cause=cause, now=now)
        for model in sorted({*rested.rests, *after.rests})
        if rested.rests.get(model) != after.rests.get(model)
    ]
    if replace(rested, rests={}) != replace(after, rests={}):
        events.append(_of_token(token_id, rested, after, cause=cause, time=now))
    return events


def event_of_new(token_id: int, health: Health, *, cause: Cause) -> TokenEventRow:
    """The event of a token that was added."""
    event = _of_token(token_id, health, health, cause=cause, time=health.since)
    event.state_before = ""
    return event


def _of_token(token_id: int, before: Health, after: Health, *, cause: Cause, time: datetime) -> TokenEventRow:
    return TokenEventRow(
        token_id=token_id,
        event_time=time,
        actor=cause.actor,
        cause=cause.cause,
        detail=cause.detail[:_MAX_LENGTH],
        state_before=before.state,
        state_after=after.state,
        reason=after.reason[:_MAX_LENGTH],
        until=after.until,
        upstream_model="",
        consecutive_error_count=after.consecutive_errors,
    )


def _of_model(
    token_id: int, before: Health, after: Health, model: str, *, cause: Cause, now: datetime
) -> TokenEventRow:
    event = _of_token(token_id, before, after, cause=cause, time=now)
    rest = after.rests.get(model)
    event.state_after = before.state
    event.upstream_model = model[:_MAX_LENGTH]
    event.reason, event.until = ("", None) if rest is None else (rest.reason, rest.until)
    return event
