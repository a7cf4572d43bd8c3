"""What every error of Flow means: the one place that decides.

Order: human verification (docs/upstream/flow.md, section 13), then the rows of section 12 by the upstream's reason,
then by its status word, then by HTTP.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from types import MappingProxyType

from flow2api_upstream.failures import VERIFICATION_MESSAGE
from flow2api_upstream.flow import reasons
from flow2api_upstream.json_reading import first_text, int_at, object_at, objects, objects_at, text_at
from flow2api_upstream.port import FailureClass, UpstreamFailure
from flow2api_upstream.retry_delays import delay_of_header, until_pacific_midnight

_PUBLIC_ERROR_WORD = re.compile(r"PUBLIC_ERROR_[A-Z0-9_]+")
_MESSAGES: Mapping[FailureClass, str] = MappingProxyType(
    {
        FailureClass.BAD_INPUT: "The upstream did not accept the request.",
        FailureClass.AUTH: "The upstream did not accept the access token.",
        FailureClass.THROTTLED: "The upstream account makes too many requests at the moment.",
        FailureClass.QUOTA_MODEL: "The upstream account has used up its daily quota of this model.",
        FailureClass.QUOTA_ACCOUNT: "The upstream account has used up its quota.",
        FailureClass.CREDITS: "The upstream account has not enough credits.",
        FailureClass.TIER: "The plan of the upstream account does not include this.",
        FailureClass.VERIFICATION: VERIFICATION_MESSAGE,
        FailureClass.FORBIDDEN: "The upstream does not allow this account to do this.",
        FailureClass.MODEL_GONE: "The upstream does not know this model any more.",
        FailureClass.MEDIA_GONE: "The upstream does not know this media, or not any more.",
        FailureClass.PROJECT_GONE: "The upstream does not know the project of this account any more.",
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
_UNCERTAIN_STATUSES = frozenset({502, 504})


class Scope(StrEnum):
    """What was asked for; a few statuses mean different things by it."""

    CONTROL = "control"
    UPLOAD = "upload"
    GENERATION = "generation"
    GENERATION_WITH_MEDIA = "generation_with_media"
    UPSCALE = "upscale"
    MEDIA = "media"


@dataclass(frozen=True, slots=True)
class ErrorFacts:
    """An error as read, before anybody judged it. ``http_status`` is of the answer, or what a gRPC number stands for;
    0 when neither is known."""

    http_status: int
    reason: str = ""
    status_word: str = ""
    message: str = ""


def failure_of_answer(
    http_status: int,
    body: bytes,
    headers: Mapping[str, str],
    *,
    scope: Scope,
    now: datetime,
    paid: bool = False,
) -> UpstreamFailure:
    """The failure that an HTTP error answer is. ``paid``: a gateway's timeout may hide an accepted submission."""
    facts = facts_of_body(http_status, body)
    return _failure(facts, scope=scope, now=now, retry_after=delay_of_header(headers, now), paid=paid)


def failure_of_status_entry(entry: Mapping[str, object], *, now: datetime) -> UpstreamFailure:
    """The failure that a failed entry of a status answer tells, in either form."""
    return _failure(_facts_of_entry(entry), scope=Scope.GENERATION, now=now, retry_after=None, paid=False)


def filtered(reason: str = "") -> UpstreamFailure:
    """A success without a result, which means that the content was filtered."""
    return UpstreamFailure(FailureClass.CONTENT, reasons.FILTERED_WORDS, reason=reason or "EMPTY_MEDIA")


def malformed(what: str, *, paid: bool = False) -> UpstreamFailure:
    """An answer that is not what the protocol promises; after a paid submission it may have been charged."""
    return UpstreamFailure(
        FailureClass.UPSTREAM,
        f"The upstream's answer is not understood: {what}.",
        reason="malformed_answer",
        may_have_been_accepted=paid,
    )


def facts_of_body(http_status: int, body: bytes) -> ErrorFacts:
    """Read Google's envelope, the same in a list, or tRPC's; a body that is neither tells only its status."""
    try:
        value = json.loads(body)
    except ValueError:
        return ErrorFacts(http_status)
    answers = objects(value)
    error = object_at(answers[0], "error") if answers else {}
    trpc = object_at(error, "json")
    if trpc:
        return ErrorFacts(
            int_at(trpc, "data", "httpStatus") or http_status,
            status_word=text_at(trpc, "data", "code"),
            message=text_at(trpc, "message"),
        )
    message = text_at(error, "message")
    return ErrorFacts(
        http_status,
        reason=first_text(_reason_of_details(error), _public_error(message)),
        status_word=text_at(error, "status"),
        message=message,
    )


def _facts_of_entry(entry: Mapping[str, object]) -> ErrorFacts:
    status = object_at(entry, "mediaMetadata", "mediaStatus") or object_at(entry, "mediaStatus")
    error = object_at(status, "error") or object_at(entry, "operation", "error") or object_at(entry, "error")
    listed = status.get("failureReasons") or entry.get("failureReasons")
    failure_reasons = [word for word in listed if isinstance(word, str)] if isinstance(listed, list) else []
    message = text_at(error, "message")
    return ErrorFacts(
        reasons.HTTP_OF_GRPC.get(int_at(error, "code") or 0, 0),
        reason=first_text(_reason_of_details(error), *failure_reasons[:1], _public_error(message)),
        status_word=text_at(error, "status"),
        message=message,
    )


def _reason_of_details(error: Mapping[str, object]) -> str:
    return first_text(*(text_at(detail, "reason") for detail in objects_at(error, "details")))


def _public_error(message: str) -> str:
    match = _PUBLIC_ERROR_WORD.search(message)
    return match[0] if match else ""


def _failure(
    facts: ErrorFacts, *, scope: Scope, now: datetime, retry_after: timedelta | None, paid: bool
) -> UpstreamFailure:
    failure_class = classify(facts, scope)
    if retry_after is None and failure_class in {FailureClass.QUOTA_MODEL, FailureClass.QUOTA_ACCOUNT}:
        retry_after = until_pacific_midnight(now)
    is_uncertain = facts.http_status in _UNCERTAIN_STATUSES
    return UpstreamFailure(
        failure_class,
        _content_words(facts.reason) if failure_class is FailureClass.CONTENT else _MESSAGES[failure_class],
        reason=first_text(facts.reason, facts.status_word),
        http_status=facts.http_status or None,
        retry_after=retry_after,
        may_have_been_accepted=paid and is_uncertain and failure_class is FailureClass.UPSTREAM,
        timed_out=facts.http_status in {408, 504} and failure_class is FailureClass.UPSTREAM,
    )


def classify(facts: ErrorFacts, scope: Scope) -> FailureClass:
    """The row of docs/upstream/flow.md, section 12, that fits."""
    status = facts.http_status
    if _is_verification(facts):
        return FailureClass.VERIFICATION
    if status in reasons.CREDIT_STATUSES and reasons.CREDIT_WORD in f"{facts.reason} {facts.message}".lower():
        return FailureClass.CREDITS
    if facts.reason in reasons.OTHER_REASONS:
        return reasons.OTHER_REASONS[facts.reason]
    if _is_content(facts.reason):
        return FailureClass.CONTENT
    if facts.reason.startswith(reasons.PUBLIC_ERROR) and status in {0, 400}:
        return FailureClass.CONTENT
    return _by_status(reasons.HTTP_OF_STATUS.get(facts.status_word, status), scope)


def _is_verification(facts: ErrorFacts) -> bool:
    speaks_of_it = reasons.VERIFICATION_WORD in facts.message.lower()
    if speaks_of_it and facts.http_status in reasons.VERIFICATION_STATUSES:
        return True
    if speaks_of_it and facts.reason in reasons.VERIFICATION_COMPANION_REASONS:
        return True
    return facts.http_status == 403 and facts.reason == reasons.VERIFICATION_REASON


def _is_content(reason: str) -> bool:
    return reason in reasons.CONTENT_REASONS or reason.startswith(reasons.CONTENT_REASON_PREFIXES)


def _content_words(reason: str) -> str:
    return reasons.CONTENT_REASONS.get(reason, reasons.GENERAL_CONTENT_WORDS)


def _by_status(status: int, scope: Scope) -> FailureClass:
    if status == 403 and scope is Scope.UPSCALE:
        return FailureClass.TIER
    if status == 404:
        return _not_found(scope)
    if status in _BY_HTTP:
        return _BY_HTTP[status]
    return FailureClass.BAD_INPUT if 400 <= status < 500 else FailureClass.UPSTREAM


def _not_found(scope: Scope) -> FailureClass:
    match scope:
        case Scope.CONTROL:
            return FailureClass.UPSTREAM
        case Scope.UPLOAD:
            # An upload names nothing but the project.
            return FailureClass.PROJECT_GONE
        case Scope.GENERATION:
            return FailureClass.MODEL_GONE
        case Scope.GENERATION_WITH_MEDIA | Scope.UPSCALE | Scope.MEDIA:
            return FailureClass.MEDIA_GONE
