"""Requests about tokens and leases, from gRPC messages to our values. Everything here raises InvalidArgument."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from google.protobuf.duration_pb2 import Duration

from flow2api_common.errors import InvalidArgument
from flow2api_proto.tokens.v1 import token_pb2, token_service_pb2
from flow2api_token_service.health.states import Outcome, TokenState
from flow2api_token_service.leases.records import Candidate, LeaseKind, LeaseRecord, LeaseRequest
from flow2api_token_service.leases.release import OutcomeReport
from flow2api_token_service.proxies.address import ProxyAddress, proxy_address
from flow2api_token_service.tokens.create import NewToken
from flow2api_token_service.tokens.own_limits import FIELD as MODEL_LIMITS
from flow2api_token_service.tokens.own_limits import proto_to_limits, written_limits
from flow2api_token_service.tokens.token_to_proto import KIND_TO_PROTO, STATE_TO_PROTO
from flow2api_token_service.tokens.update import WRITABLE_FIELDS, TokenUpdate
from flow2api_upstream.port import AccountTier, Secret

DEFAULT_PROVIDER = "flow"
DEFAULT_PAGE_SIZE = 100
MAX_PAGE_SIZE = 1000
MAX_LEASES_PER_CALL = 1000

MAX_CANDIDATES = 100
MAX_EXCLUDED_TOKENS = 1000
MAX_CREDITS = 2**53 - 1
"""The numbers of the scripts are doubles: above this they are not exact, and no whole numbers when they come back."""

_SHORTEST_LEASE = timedelta(seconds=1)
_LONGEST_LEASE = timedelta(hours=1)
_LONGEST_HOLD = timedelta(hours=1)
_LONGEST_AGE = timedelta(days=1)
_MAX_SECRET_LENGTH = 32_768
_MAX_NAME_LENGTH = 200
_MAX_TEXT_LENGTHS = {"remark": 2000, "project_id": 200, "project_name": 200}
_KINDS = {number: kind for kind, number in KIND_TO_PROTO.items()}
_STATES = {number: state for state, number in STATE_TO_PROTO.items()}
_ONE_WORD = re.compile(r"[!-~]+")
"""Session tokens and API keys; only the keys of service accounts are documents."""
_PROJECT_ID = re.compile(r"[A-Za-z0-9_.-]*")
_LOCATION = re.compile(r"[a-z]+(-[a-z]+){0,3}\d{0,2}")
_MAX_LOCATION_LENGTH = 40
_SECRET_FIELD = "secret"  # noqa: S105 - a field name
_PROXY_FIELD = "proxy_url"


@dataclass(frozen=True, slots=True)
class CreditsReport:
    """What an account had left, how long ago it said so, and how long that call took."""

    remaining_credits: int
    age: timedelta
    call_duration: timedelta


def new_token(request: token_service_pb2.CreateTokenRequest) -> NewToken:
    """What CreateToken asks for."""
    for field in ("remark", "project_id", "project_name"):
        _check_text(field, getattr(request, field))
    check_project_id(request.project_id)
    return NewToken(
        provider=request.provider or DEFAULT_PROVIDER,
        secret=_secret(request.secret),
        project_id=request.project_id,
        project_name=request.project_name,
        location=_location(request.location),
        remark=request.remark,
        image_enabled=request.image_enabled if request.HasField("image_enabled") else True,
        video_enabled=request.video_enabled if request.HasField("video_enabled") else True,
        image_concurrency=_limit("image_concurrency", request.image_concurrency)
        if request.HasField("image_concurrency")
        else None,
        video_concurrency=_limit("video_concurrency", request.video_concurrency)
        if request.HasField("video_concurrency")
        else None,
        model_limits=proto_to_limits(request.model_limits),
        proxy=_own_proxy(request.proxy_url),
    )


def token_update(request: token_service_pb2.UpdateTokenRequest) -> TokenUpdate:
    """What UpdateToken asks for."""
    paths = set(request.update_mask.paths)
    if not paths:
        raise InvalidArgument.of("update_mask", "The update mask names no field.")
    unknown = sorted(paths - WRITABLE_FIELDS - {_SECRET_FIELD, _PROXY_FIELD})
    if unknown:
        raise InvalidArgument.of("update_mask", f"These fields cannot be changed: {', '.join(unknown)[:200]}.")
    values: dict[str, str | int | bool] = {}
    for path in paths - {_SECRET_FIELD, _PROXY_FIELD}:
        if path == MODEL_LIMITS:
            values[path] = written_limits(proto_to_limits(request.token.model_limits))
            continue
        value = getattr(request.token, path)
        if path in _MAX_TEXT_LENGTHS:
            _check_text(path, value)
        if path == "project_id":
            check_project_id(value)
        if path.endswith("_concurrency"):
            _limit(path, value)
        values[path] = value
    return TokenUpdate(
        values=values,
        secret=_secret(request.secret) if _SECRET_FIELD in paths else None,
        changes_proxy=_PROXY_FIELD in paths,
        proxy=_own_proxy(request.proxy_url) if _PROXY_FIELD in paths else None,
    )


def check_project_id(project_id: str) -> None:
    """It becomes a part of paths, and may be empty."""
    if project_id in {".", ".."} or _PROJECT_ID.fullmatch(project_id) is None:
        raise InvalidArgument.of("project_id", "A project id has letters, digits, '-', '_' and '.' only.")


def _location(text: str) -> str:
    """It becomes a part of the name of a host, and may be empty."""
    if text and (_LOCATION.fullmatch(text) is None or len(text) > _MAX_LOCATION_LENGTH):
        raise InvalidArgument.of("location", "A location is like 'us-central1', 'global', 'us' or 'eu'.")
    return text


def page_bounds(page_size: int, page_token: str) -> tuple[int, int]:
    """Page size and the id after which the page begins."""
    if page_size < 0:
        raise InvalidArgument.of("page_size", "The page size must not be negative.")
    if page_token and not (page_token.isdecimal() and len(page_token) < 19):
        raise InvalidArgument.of("page_token", "This page token was not given out by this service.")
    return min(page_size or DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE), int(page_token or "0")


def token_state(number: int) -> TokenState | None:
    """The state to list; None for all."""
    if number == token_pb2.TOKEN_STATE_UNSPECIFIED:
        return None
    state = _STATES.get(token_pb2.TokenState.ValueType(number))
    if state is None:
        raise InvalidArgument.of("state", "There is no such state.")
    return state


def request_id(value: str) -> str:
    """The id of an AcquireLease."""
    if not value or len(value) > 200:
        raise InvalidArgument.of("request_id", "A request id of at most 200 characters is required.")
    return value


def lease_request(request: token_service_pb2.AcquireLeaseRequest) -> LeaseRequest:
    """What AcquireLease asks for; the lease id is still to be given."""
    if not request.candidates:
        raise InvalidArgument.of("candidates", "At least one candidate is required.")
    if len(request.candidates) > MAX_CANDIDATES:
        raise InvalidArgument.of("candidates", f"At most {MAX_CANDIDATES} candidates in one call.")
    if len(request.excluded_token_ids) > MAX_EXCLUDED_TOKENS:
        raise InvalidArgument.of("excluded_token_ids", f"At most {MAX_EXCLUDED_TOKENS} tokens can be excluded.")
    return LeaseRequest(
        lease_id="",
        request_id=request_id(request.request_id),
        kind=_kind("kind", request.kind),
        candidates=tuple(_candidate(at, candidate) for at, candidate in enumerate(request.candidates)),
        api_key_id=_name("api_key_id", request.api_key_id),
        duration=lease_duration(request.lease_duration),
        excluded_token_ids=tuple(sorted(set(request.excluded_token_ids))),
    )


def lease_duration(message: Duration) -> timedelta:
    """A lease duration within its bounds."""
    value = _duration("lease_duration", message)
    if not _SHORTEST_LEASE <= value <= _LONGEST_LEASE:
        raise InvalidArgument.of("lease_duration", "The lease duration must be between 1 s and 1 h.")
    return value


def hold_duration(message: Duration) -> timedelta:
    """How much longer a released lease keeps its room; at most 1 h."""
    value = _duration("hold_duration", message)
    if not timedelta(0) <= value <= _LONGEST_HOLD:
        raise InvalidArgument.of("hold_duration", "A lease can be held for up to 1 h.")
    return value


def wait_timeout(message: Duration) -> timedelta:
    """How long to wait at most."""
    value = _duration("wait_timeout", message)
    if value < timedelta(0):
        raise InvalidArgument.of("wait_timeout", "The wait timeout must not be negative.")
    return value


def lease_record(lease: token_pb2.Lease, *, field: str = "lease") -> LeaseRecord:
    """A lease that was given out."""
    if not lease.lease_id or len(lease.lease_id) > 100:
        raise InvalidArgument.of(f"{field}.lease_id", "The lease id is missing or none of ours.")
    return LeaseRecord(
        lease_id=lease.lease_id,
        token_id=lease.token_id,
        kind=_kind(f"{field}.kind", lease.kind),
        api_key_id=_name(f"{field}.api_key_id", lease.api_key_id),
        upstream_model=_name(f"{field}.upstream_model", lease.upstream_model),
    )


def lease_records(leases: Iterable[token_pb2.Lease]) -> list[LeaseRecord]:
    """Leases that were given out."""
    records = [lease_record(lease, field=f"leases[{at}]") for at, lease in enumerate(leases)]
    if len(records) > MAX_LEASES_PER_CALL:
        raise InvalidArgument.of("leases", f"At most {MAX_LEASES_PER_CALL} leases in one call.")
    return records


def credits_report(message: token_service_pb2.ReportCreditsRequest) -> CreditsReport:
    """What an account had left after a call. Raises InvalidArgument."""
    report = CreditsReport(
        min(message.remaining_credits, MAX_CREDITS),
        _duration("age", message.age),
        _duration("call_duration", message.call_duration),
    )
    if report.remaining_credits < 0:
        raise InvalidArgument.of("remaining_credits", "A balance is not negative.")
    for field, duration in (("age", report.age), ("call_duration", report.call_duration)):
        if not timedelta(0) <= duration <= _LONGEST_AGE:
            raise InvalidArgument.of(field, "It must be between zero and a day.")
    return report


def provider_name(value: str) -> str:
    """An upstream family; whether there is one is not asked."""
    if not value:
        raise InvalidArgument.of("provider", "A provider is required.")
    return _name("provider", value)


def upstream_model_name(value: str) -> str:
    """A model there."""
    if not value:
        raise InvalidArgument.of("upstream_model", "A model is required.")
    return _name("upstream_model", value)


def since_time(message: token_service_pb2.FindNewTokenRequest) -> datetime:
    """The time that was given."""
    if not message.HasField("since_time"):
        raise InvalidArgument.of("since_time", "A time is required.")
    try:
        return message.since_time.ToDatetime(tzinfo=UTC)
    except ValueError as error:
        raise InvalidArgument.of("since_time", "The time is not one.") from error


def outcome_report(message: token_pb2.LeaseOutcome) -> OutcomeReport:
    """How a generation ended."""
    name = token_pb2.Outcome.Name(message.outcome) if message.outcome in token_pb2.Outcome.values() else ""
    try:
        outcome = Outcome(name.removeprefix("OUTCOME_").lower())
    except ValueError:
        raise InvalidArgument.of("outcome.outcome", "An outcome is required.") from None
    if outcome is Outcome.PROXY_FAILED and message.proxy_id <= 0:
        # The token's own proxy belongs to the token.
        outcome = Outcome.NETWORK_ERROR
    return OutcomeReport(
        outcome=outcome,
        proxy_id=max(0, message.proxy_id),
        retry_after=_retry_delay(message),
        remaining_credits=_credits(message.remaining_credits) if message.HasField("remaining_credits") else None,
        # The upstream's own word: what SQL cannot keep of it must not lose the outcome.
        upstream_reason=message.upstream_reason.replace("\0", ""),
        output_count=max(0, message.output_count),
    )


def _candidate(at: int, message: token_pb2.LeaseCandidate) -> Candidate:
    field = f"candidates[{at}]"
    if not message.provider or not message.upstream_model:
        raise InvalidArgument.of("candidates", "A candidate needs a provider and an upstream model.")
    if not 0 <= message.min_tier <= max(AccountTier):
        raise InvalidArgument.of(f"{field}.min_tier", f"A tier is 0 to {max(AccountTier)}.")
    if message.affinity_token_id < 0:
        raise InvalidArgument.of(f"{field}.affinity_token_id", "There is no such token.")
    return Candidate(
        provider=_name(f"{field}.provider", message.provider),
        upstream_model=_name(f"{field}.upstream_model", message.upstream_model),
        min_tier=message.min_tier,
        credits=_credits(message.credits),
        affinity_token_id=message.affinity_token_id or None,
    )


def _duration(field: str, message: Duration) -> timedelta:
    try:
        return message.ToTimedelta()
    except (OverflowError, ValueError):
        raise InvalidArgument.of(field, "This is no duration.") from None


def _retry_delay(message: token_pb2.LeaseOutcome) -> timedelta | None:
    """What the upstream asked for; a time that has passed asks for nothing."""
    if not message.HasField("retry_delay"):
        return None
    delay = _duration("outcome.retry_delay", message.retry_delay)
    return delay if delay > timedelta(0) else None


def _credits(value: int) -> int:
    return min(max(0, value), MAX_CREDITS)


def _name(field: str, value: str) -> str:
    if len(value) > _MAX_NAME_LENGTH or "\0" in value:
        raise InvalidArgument.of(field, f"At most {_MAX_NAME_LENGTH} characters, none of them NUL.")
    return value


def _kind(field: str, number: int) -> LeaseKind:
    kind = _KINDS.get(token_pb2.Kind.ValueType(number))
    if kind is None:
        raise InvalidArgument.of(field, "The kind must be image or video.")
    return kind


def _own_proxy(text: str) -> ProxyAddress | None:
    return proxy_address(text, field=_PROXY_FIELD) if text.strip() else None


def _secret(text: str) -> Secret:
    secret = text.strip()
    if not secret:
        raise InvalidArgument.of("secret", "A secret is required.")
    if len(secret) > _MAX_SECRET_LENGTH:
        raise InvalidArgument.of("secret", "This is too long to be a secret.")
    if not _ONE_WORD.fullmatch(secret) and not secret.startswith("{"):
        # It goes into a header of every call: a line break in it would begin another header.
        raise InvalidArgument.of("secret", "A secret has printable ASCII characters only, none of them blank.")
    return Secret(secret)


def _limit(field: str, value: int) -> int:
    if value < -1:
        raise InvalidArgument.of(field, "A limit is -1 (unlimited) or more.")
    return value


def _check_text(field: str, value: str) -> None:
    if len(value) > _MAX_TEXT_LENGTHS[field] or "\0" in value:
        raise InvalidArgument.of(field, f"At most {_MAX_TEXT_LENGTHS[field]} characters, none of them NUL.")
