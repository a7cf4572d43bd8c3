"""What every error of the official APIs means: the one place that decides, for both.

Both envelopes are read: Google's ``{"error": {"code": 429, "status": …, "details": […]}}`` and that of interactions,
``{"error": {"code": "<word>"}}``. Source: docs/upstream/google-official.md, sections 5, 6 and 10.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from types import MappingProxyType

from flow2api_upstream.google import reasons
from flow2api_upstream.google.advice import advice_of
from flow2api_upstream.json_reading import first_text, int_at, object_at, objects, objects_at, text_at
from flow2api_upstream.port import FailureClass, UpstreamFailure
from flow2api_upstream.retry_delays import (
    delay_of_duration,
    delay_of_header,
    delay_of_message,
    until_pacific_midnight,
)

_MESSAGES: Mapping[FailureClass, str] = MappingProxyType(
    {
        FailureClass.BAD_INPUT: "The upstream did not accept the request.",
        FailureClass.AUTH: "The upstream did not accept the credential.",
        FailureClass.THROTTLED: "The upstream account makes too many requests at the moment.",
        FailureClass.QUOTA_MODEL: "The upstream account has used up its daily quota of this model.",
        FailureClass.CREDITS: "The upstream account has no credit left.",
        FailureClass.TIER: "The plan of the upstream account does not include this model.",
        FailureClass.FORBIDDEN: "The upstream does not allow this account to do this.",
        FailureClass.MODEL_GONE: "The upstream does not know this model any more.",
        FailureClass.MODEL_NOT_HERE: "The upstream does not serve this model where it was asked for.",
        FailureClass.MEDIA_GONE: "The upstream does not know this media, or not any more.",
        FailureClass.UPSTREAM: "The upstream failed.",
    }
)
_BY_HTTP: Mapping[int, FailureClass] = MappingProxyType(
    {
        401: FailureClass.AUTH,
        402: FailureClass.CREDITS,
        403: FailureClass.FORBIDDEN,
        408: FailureClass.UPSTREAM,
        409: FailureClass.UPSTREAM,
        429: FailureClass.THROTTLED,
        499: FailureClass.UPSTREAM,
    }
)
_OWN_WORDS: Mapping[FailureClass, str] = MappingProxyType(
    {
        FailureClass.THROTTLED: "rate_limited",
        FailureClass.QUOTA_MODEL: "quota",
        FailureClass.TIER: "tier_denied",
        FailureClass.CREDITS: "payment_required",
        FailureClass.MODEL_NOT_HERE: "model_not_here",
    }
)
_OWN_PERMISSIONS = ("aiplatform.", "generativelanguage.")
_UNCERTAIN_STATUSES = frozenset({502, 504})
_QUOTA_FAILURE = "google.rpc.QuotaFailure"
_RETRY_INFO = "google.rpc.RetryInfo"


class Scope(StrEnum):
    """What was asked for: a 404 means different things by it."""

    CONTROL = "control"
    GENERATION = "generation"
    GENERATION_IN_LOCATION = "generation_in_location"
    GENERATION_WITH_MEDIA = "generation_with_media"
    STATUS = "status"
    MEDIA = "media"


@dataclass(frozen=True, slots=True)
class QuotaViolation:
    """Which quota was hit."""

    quota_id: str
    quota_value: str


@dataclass(frozen=True, slots=True)
class ErrorFacts:
    """An error as read, before anybody judged it."""

    http_status: int
    code_word: str = ""
    reason: str = ""
    status_word: str = ""
    message: str = ""
    violations: Sequence[QuotaViolation] = ()
    retry_delay: timedelta | None = None


def failure_of_answer(
    http_status: int,
    body: bytes,
    headers: Mapping[str, str],
    *,
    scope: Scope,
    now: datetime,
    paid: bool = False,
) -> UpstreamFailure:
    """The failure that an HTTP error answer is. ``paid``: a gateway's timeout may hide an accepted generation."""
    try:
        answers = objects(json.loads(body))
    except ValueError:
        answers = []
    error = object_at(answers[0], "error") if answers else {}
    facts = facts_of_error(error, http_status)
    return _failure(facts, scope=scope, now=now, header_delay=delay_of_header(headers, now), paid=paid)


def failure_of_error(error: Mapping[str, object], *, scope: Scope, now: datetime) -> UpstreamFailure:
    """The failure that an error inside a successful answer is: of a step, of an interaction or of a stream."""
    return _failure(facts_of_error(error, 0), scope=scope, now=now, header_delay=None, paid=False)


def facts_of_error(error: Mapping[str, object], http_status: int) -> ErrorFacts:
    """Read either envelope. Without an HTTP status the error's own number counts: HTTP, or gRPC when below 100."""
    number = int_at(error, "code") or 0
    details = objects_at(error, "details")
    return ErrorFacts(
        http_status=http_status or (number if number >= 100 else reasons.HTTP_OF_GRPC.get(number, 0)),
        code_word=text_at(error, "code") if not number else "",
        reason=first_text(*(_reason_of(detail) for detail in details)),
        status_word=text_at(error, "status"),
        message=text_at(error, "message"),
        violations=[
            QuotaViolation(text_at(violation, "quotaId"), text_at(violation, "quotaValue"))
            for detail in details
            if text_at(detail, "@type").endswith(_QUOTA_FAILURE)
            for violation in objects_at(detail, "violations")
        ],
        retry_delay=next(
            (
                delay_of_duration(text_at(detail, "retryDelay"))
                for detail in details
                if text_at(detail, "@type").endswith(_RETRY_INFO)
            ),
            None,
        ),
    )


def content(words: str, reason: str) -> UpstreamFailure:
    """The content was refused."""
    return UpstreamFailure(FailureClass.CONTENT, words, reason=reason)


def upstream(message: str, reason: str, *, paid: bool = False) -> UpstreamFailure:
    """The upstream answered, but not with what it promises."""
    return UpstreamFailure(FailureClass.UPSTREAM, message, reason=reason, may_have_been_accepted=paid)


def reads_as_refusal(text: str) -> bool:
    """Whether a model's words say that it will not do it."""
    lowered = text.lower().replace("\N{RIGHT SINGLE QUOTATION MARK}", "'")
    return any(word in lowered for word in reasons.REFUSAL_WORDS)


def _failure(
    facts: ErrorFacts, *, scope: Scope, now: datetime, header_delay: timedelta | None, paid: bool
) -> UpstreamFailure:
    failure_class = classify(facts, scope)
    is_upstream = failure_class is FailureClass.UPSTREAM
    reason = first_text(facts.reason, facts.code_word, facts.status_word)
    # A word of ours where the upstream has none of its own.
    word = _OWN_WORDS.get(failure_class, reason.lower())
    return UpstreamFailure(
        failure_class,
        _content_words(facts) if failure_class is FailureClass.CONTENT else _MESSAGES[failure_class],
        reason=reason,
        advice=advice_of(word),
        http_status=facts.http_status or None,
        retry_after=_retry_after(facts, failure_class, now, header_delay),
        may_have_been_accepted=paid and is_upstream and facts.http_status in _UNCERTAIN_STATUSES,
        timed_out=is_upstream and (facts.http_status in {408, 504} or facts.code_word == "deadline_exceeded"),
    )


def _reason_of(detail: Mapping[str, object]) -> str:
    """``ErrorInfo.reason``; a missing permission to something else, such as a bucket, says little of the account."""
    reason, permission = text_at(detail, "reason"), text_at(detail, "metadata", "permission")
    if reason == "IAM_PERMISSION_DENIED" and permission and not permission.startswith(_OWN_PERMISSIONS):
        return "PERMISSION_DENIED"
    return reason


def _retry_after(
    facts: ErrorFacts, failure_class: FailureClass, now: datetime, header_delay: timedelta | None
) -> timedelta | None:
    if failure_class is FailureClass.QUOTA_MODEL:
        return until_pacific_midnight(now)  # Whatever ``retryDelay`` says.
    if failure_class not in {FailureClass.THROTTLED, FailureClass.UPSTREAM}:
        return None
    return facts.retry_delay or header_delay or delay_of_message(facts.message)


def classify(facts: ErrorFacts, scope: Scope) -> FailureClass:
    """The row of docs/upstream/google-official.md, sections 6 and 10, that fits."""
    if _is_dead_key(facts):
        return FailureClass.AUTH
    if facts.code_word.lower() in reasons.INTERACTION_CONTENT:
        return FailureClass.CONTENT
    if facts.code_word == "model_not_found" and scope is Scope.GENERATION_IN_LOCATION:
        return FailureClass.MODEL_NOT_HERE
    if facts.code_word == "not_found":
        return _not_found(scope)
    if facts.code_word in {"invalid_request", "out_of_range"} and _speaks_of_content(facts.message):
        return FailureClass.CONTENT
    if facts.code_word in reasons.INTERACTION_CODES:
        return reasons.INTERACTION_CODES[facts.code_word]
    return _by_status(facts, scope)


def _by_status(facts: ErrorFacts, scope: Scope) -> FailureClass:
    status = facts.http_status or reasons.HTTP_OF_STATUS.get(facts.status_word, 0)
    if status == 400:
        if facts.status_word == "FAILED_PRECONDITION":
            return FailureClass.FORBIDDEN
        return FailureClass.CONTENT if _speaks_of_content(facts.message) else FailureClass.BAD_INPUT
    if status == 404:
        return _not_found(scope)
    if status == 429:
        return _quota_class(facts.violations)
    if status in _BY_HTTP:
        return _BY_HTTP[status]
    return FailureClass.BAD_INPUT if 400 <= status < 500 else FailureClass.UPSTREAM


def _quota_class(violations: Sequence[QuotaViolation]) -> FailureClass:
    if any(violation.quota_value == "0" for violation in violations):
        return FailureClass.TIER  # The plan has none of it.
    if any("PerDay" in violation.quota_id for violation in violations):
        return FailureClass.QUOTA_MODEL
    return FailureClass.THROTTLED


def _not_found(scope: Scope) -> FailureClass:
    match scope:
        case Scope.GENERATION:
            return FailureClass.MODEL_GONE
        case Scope.GENERATION_IN_LOCATION:
            return FailureClass.MODEL_NOT_HERE
        case Scope.GENERATION_WITH_MEDIA | Scope.MEDIA:
            return FailureClass.MEDIA_GONE
        case Scope.CONTROL | Scope.STATUS:
            return FailureClass.UPSTREAM


def _is_dead_key(facts: ErrorFacts) -> bool:
    if facts.reason in reasons.KEY_REASONS:
        return True
    message = facts.message.lower()
    return facts.http_status in {400, 401, 403} and any(word in message for word in reasons.KEY_WORDS)


def _speaks_of_content(message: str) -> bool:
    lowered = message.lower()
    return any(word in lowered for word in reasons.CONTENT_WORDS)


def _content_words(facts: ErrorFacts) -> str:
    return reasons.INTERACTION_CONTENT.get(facts.code_word.lower(), reasons.GENERAL_CONTENT_WORDS)
