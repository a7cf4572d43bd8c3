"""Tokens, credentials and counters, from our values to gRPC messages."""

from __future__ import annotations

from datetime import datetime, timedelta

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from flow2api_proto.tokens.v1 import token_pb2, token_service_pb2
from flow2api_token_service.credentials.credential import Credential
from flow2api_token_service.health.models import TokenEventRow
from flow2api_token_service.health.rows import health_of
from flow2api_token_service.health.states import TokenState
from flow2api_token_service.leases.passed import Passed
from flow2api_token_service.leases.records import LeaseKind, LeaseRecord, LiveToken
from flow2api_token_service.stats.counters import Counters, counters_of, with_counted
from flow2api_token_service.tokens.models import TokenRow
from flow2api_token_service.tokens.own_limits import limits_to_proto
from flow2api_upstream.advice import advice_for

STATE_TO_PROTO = {
    TokenState.ACTIVE: token_pb2.TOKEN_STATE_ACTIVE,
    TokenState.COOLING: token_pb2.TOKEN_STATE_COOLING,
    TokenState.PARKED: token_pb2.TOKEN_STATE_PARKED,
    TokenState.SUSPECT: token_pb2.TOKEN_STATE_SUSPECT,
    TokenState.DISABLED: token_pb2.TOKEN_STATE_DISABLED,
}
KIND_TO_PROTO = {LeaseKind.IMAGE: token_pb2.KIND_IMAGE, LeaseKind.VIDEO: token_pb2.KIND_VIDEO}

_NOTHING_LIVE = LiveToken(0, 0, {})


def passed_to_proto(passed: Passed) -> token_pb2.PassedCandidate:
    """Why a candidate was not served."""
    return token_pb2.PassedCandidate(
        candidate_index=passed.candidate_index,
        token_counts=passed.token_counts,
        earliest_time=timestamp(passed.earliest),
        is_nowhere=passed.is_nowhere,
    )


def token_to_proto(row: TokenRow, *, live: LiveToken | None, now: datetime) -> token_pb2.Token:
    """A token as people see it: no secret. ``live`` is what Redis knows; the row's stats and rests must be loaded."""
    live = live or _NOTHING_LIVE
    counters = with_counted(counters_of(row), live.pending_stats)
    health = health_of(row)
    state = health.state_at(now)
    is_at_rest = state == row.state and state is not TokenState.ACTIVE
    message = token_pb2.Token(
        token_id=row.id,
        provider=row.provider,
        masked_secret=row.masked_secret,
        email=row.email,
        name=row.name,
        remark=row.remark,
        state=STATE_TO_PROTO[state],
        state_reason=row.state_reason if is_at_rest else "",
        state_time=timestamp(row.state_time if state == row.state else row.state_until),
        state_until_time=timestamp(row.state_until if is_at_rest else None),
        tier=token_pb2.Tier.ValueType(row.tier),
        access_token_expire_time=timestamp(row.bearer_expire_time),
        project_id=row.project_id,
        project_name=row.project_name,
        image_enabled=row.image_enabled,
        video_enabled=row.video_enabled,
        image_concurrency=row.image_concurrency,
        video_concurrency=row.video_concurrency,
        stats=counters_to_proto(counters),
        create_time=timestamp(row.created_at),
        last_use_time=timestamp(counters.last_used_at),
        image_leases=live.image_leases,
        video_leases=live.video_leases,
        own_proxy=row.masked_proxy,
        proxy_id=row.proxy_id or 0,
        location=row.location,
        state_message=advice_for(row.provider, row.state_reason if is_at_rest else row.refresh_problem),
        refresh_problem=row.refresh_problem,
        model_limits=limits_to_proto(row.model_limits),
        rests=[
            token_pb2.TokenRest(
                upstream_model=model,
                reason=rest.reason,
                until_time=timestamp(rest.until),
                message=advice_for(row.provider, rest.reason),
            )
            for model, rest in sorted(health.rests.items())
            if rest.until > now
        ],
    )
    if counters.credits is not None:
        message.credits = counters.credits
    return message


def counters_to_proto(counters: Counters) -> token_pb2.TokenStats:
    """The counters."""
    return token_pb2.TokenStats(
        use_count=counters.use_count,
        image_count=counters.image_count,
        video_count=counters.video_count,
        success_count=counters.success_count,
        error_count=counters.error_count,
        consecutive_error_count=counters.consecutive_error_count,
        today_image_count=counters.today_image_count,
        today_video_count=counters.today_video_count,
        today_error_count=counters.today_error_count,
        today_date="" if counters.today_date is None else counters.today_date.isoformat(),
        last_success_time=timestamp(counters.last_success_at),
        last_error_time=timestamp(counters.last_error_at),
    )


def credential_to_proto(credential: Credential) -> token_pb2.Credential:
    """A credential, with its secrets."""
    return token_pb2.Credential(
        token_id=credential.token_id,
        provider=credential.provider,
        bearer=credential.bearer,
        expire_time=timestamp(credential.expire_time),
        version=credential.version,
        session_token=credential.session_token,
        project_id=credential.project_id,
        location=credential.location,
        tier=token_pb2.Tier.ValueType(credential.tier),
        proxy_url=credential.proxy_url,
        proxy_id=credential.proxy_id,
    )


def lease_to_proto(lease: LeaseRecord, expire_time: datetime) -> token_pb2.Lease:
    """A lease."""
    return token_pb2.Lease(
        lease_id=lease.lease_id,
        token_id=lease.token_id,
        kind=KIND_TO_PROTO[lease.kind],
        api_key_id=lease.api_key_id,
        upstream_model=lease.upstream_model,
        expire_time=timestamp(expire_time),
    )


def event_to_proto(row: TokenEventRow) -> token_service_pb2.TokenEvent:
    """A change of a token's health."""
    before = STATE_TO_PROTO[TokenState(row.state_before)] if row.state_before else token_pb2.TOKEN_STATE_UNSPECIFIED
    return token_service_pb2.TokenEvent(
        event_id=row.id,
        token_id=row.token_id,
        event_time=timestamp(row.event_time),
        actor=row.actor,
        cause=row.cause,
        detail=row.detail,
        state_before=before,
        state_after=STATE_TO_PROTO[TokenState(row.state_after)],
        reason=row.reason,
        until_time=timestamp(row.until),
        upstream_model=row.upstream_model,
        consecutive_error_count=row.consecutive_error_count,
    )


def timestamp(time: datetime | None) -> Timestamp | None:
    """A time; None stays unset."""
    if time is None:
        return None
    message = Timestamp()
    message.FromDatetime(time)
    return message


def duration(value: timedelta) -> Duration:
    """A duration."""
    message = Duration()
    message.FromTimedelta(value)
    return message
