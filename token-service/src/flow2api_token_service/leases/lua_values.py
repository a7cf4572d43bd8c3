"""From the typed values of the pool to what its scripts are told, and back from what they answer."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

from flow2api_common.errors import DependencyUnavailable
from flow2api_token_service.leases.passed import Passed, PassedBecause
from flow2api_token_service.leases.records import (
    Candidate,
    KeyShare,
    LeaseRecord,
    LeaseRequest,
    PoolEntry,
    QueuePlace,
    Refusal,
    RefusalReason,
    TakenLease,
)

_EPOCH = datetime.fromtimestamp(0, UTC)
_DEFAULT_RETRY_AFTER = timedelta(seconds=5)
"""What a caller is told who finds everything busy: leases end when generations do, which nobody can foresee."""


class IndexMissing(DependencyUnavailable):
    """Redis has no complete index (it is new, or was flushed); it has to be built from SQL first."""

    default_reason = "POOL_INDEX_MISSING"


def checked(answer: Any) -> Any:
    """The answer of a script that needs the whole index. Raises IndexMissing."""
    if answer["status"] == "unbuilt":
        raise IndexMissing("The pool is being read in.", retry_after=timedelta(seconds=1))
    return answer


def acquire_args(request: LeaseRequest, *, place: QueuePlace | None) -> dict[str, Any]:
    """What ``acquire.lua`` is told; without a place the caller does not queue."""
    return {
        "lease_id": request.lease_id,
        "request_id": request.request_id,
        "key": request.api_key_id,
        "duration_ms": milliseconds(request.duration),
        "default_retry_ms": milliseconds(_DEFAULT_RETRY_AFTER),
        "wish": _wish(request),
        "wait_ms": 0 if place is None else milliseconds(place.wait),
        "replica": "" if place is None else place.replica,
        "queue_limit": 0 if place is None else place.limit,
        "key_queue_limit": 0 if place is None else place.limit_per_key,
    }


def explain_args(request: LeaseRequest, *, count: int) -> dict[str, Any]:
    """What ``explain.lua`` is told."""
    return {"wish": _wish(request), "count": count}


def passed_of(answer: Any) -> tuple[Passed, ...]:
    """The candidates that ``explain.lua`` tells of."""
    # An empty list comes out of Lua as an empty object.
    return tuple(
        Passed(
            candidate_index=row["candidate"],
            token_counts={reason: int(count) for reason, count in sorted(row["tokens"].items())},
            earliest=time_of(row["until_ms"]) if row["until_ms"] else None,
            is_nowhere=row["nowhere"],
        )
        for row in answer["passed"] or ()
    )


def taken_lease(answer: Any, request: LeaseRequest) -> TakenLease:
    """The lease that an answer with the status ``leased`` tells of."""
    return TakenLease(
        lease=LeaseRecord(
            lease_id=answer["lease_id"],
            token_id=int(answer["token_id"]),
            kind=request.kind,
            api_key_id=request.api_key_id,
            upstream_model=answer["model"],
        ),
        candidate_index=answer["candidate"],
        expire_time=time_of(answer["deadline_ms"]),
        revision=answer["revision"],
    )


def refusal(answer: Any) -> Refusal:
    """The refusal that an answer tells of; of one who waits, what to say when nothing comes."""
    reason = answer["reason"] if answer["status"] == "waiting" else answer["status"]
    return Refusal(RefusalReason(reason), timedelta(milliseconds=answer.get("retry_ms", 0)))


def _wish(request: LeaseRequest) -> str:
    wish = {
        "kind": request.kind,
        "candidates": [_candidate(candidate) for candidate in request.candidates],
        "excluded": sorted(str(token_id) for token_id in request.excluded_token_ids),
    }
    return json.dumps(wish, sort_keys=True)


def _candidate(candidate: Candidate) -> dict[str, Any]:
    return {
        "provider": candidate.provider,
        "model": candidate.upstream_model,
        "min_tier": candidate.min_tier,
        "credits": candidate.credits,
        "affinity": "" if candidate.affinity_token_id is None else str(candidate.affinity_token_id),
        "per_minute": candidate.per_minute,
        "at_once": candidate.at_once,
    }


def lease_args(lease: LeaseRecord) -> dict[str, Any]:
    """What the scripts are told of a lease."""
    return {
        "id": lease.lease_id,
        "token": str(lease.token_id),
        "kind": lease.kind,
        "key": lease.api_key_id,
        "model": lease.upstream_model,
    }


def share_args(share: KeyShare) -> dict[str, Any]:
    """What ``put_keys.lua`` is told of an API key."""
    return {"id": share.api_key_id, "revision": share.revision, "limit": share.limit, "weight": share.weight}


def entry_args(entry: PoolEntry, *, credits_are_fresh: bool) -> dict[str, Any]:
    """What ``put_tokens.lua`` is told of a token."""
    return {
        "id": str(entry.token_id),
        "provider": entry.provider,
        "tier": entry.tier,
        "credits": "" if entry.credits is None else entry.credits,
        "credits_are_fresh": credits_are_fresh,
        "revision": entry.revision,
        "state": entry.state,
        "until_ms": 0 if entry.state_until is None else epoch_ms(entry.state_until),
        "image": entry.image_limit,
        "video": entry.video_limit,
        "limits": _own_limits(entry),
        "quota": entry.quota_group,
        "sick": entry.is_sick,
        "why": entry.why,
        "rests": [
            [model, epoch_ms(until), entry.rest_reasons.get(model, PassedBecause.RESTING)]
            for model, until in entry.rests.items()
        ],
    }


def _own_limits(entry: PoolEntry) -> str:
    rows = [[limit.upstream_model, limit.per_minute, limit.at_once] for limit in entry.model_limits]
    return json.dumps(rows) if rows else ""


def pairs_of(flat: Any) -> dict[str, str]:
    """A flat list of names and values as a mapping."""
    # An empty list comes out of Lua as an empty object.
    values = list(flat) if isinstance(flat, list) else []
    return dict(zip(values[::2], values[1::2], strict=True))


def summed(flat: Any) -> dict[str, str]:
    """Counters of which a field may come twice: numbers add up, of times and balances the later one stands last."""
    values = list(flat) if isinstance(flat, list) else []
    summed: dict[str, str] = {}
    for name, value in zip(values[::2], values[1::2], strict=True):
        is_counter = name in summed and not name.startswith("last_") and name != "credits"
        summed[name] = str(int(summed[name]) + int(value)) if is_counter else value
    return summed


def milliseconds(duration: timedelta) -> int:
    """Whole milliseconds."""
    return duration // timedelta(milliseconds=1)


def epoch_ms(time: datetime) -> int:
    """A time as Redis has it."""
    return milliseconds(time - _EPOCH)


def time_of(epoch_ms: float) -> datetime:
    """A time of Redis."""
    return _EPOCH + timedelta(milliseconds=epoch_ms)
