"""The errors that cross a service's border, split by who can fix them.

::

    Flow2APIError
    ├── RequestError                the caller: change the request
    │   ├── InvalidArgument         INVALID_ARGUMENT, names the fields
    │   ├── Unauthenticated         UNAUTHENTICATED
    │   ├── PermissionDenied        PERMISSION_DENIED
    │   ├── NotFound                NOT_FOUND
    │   ├── Conflict                ALREADY_EXISTS
    │   └── FailedPrecondition      FAILED_PRECONDITION, fix the state first
    ├── CapacityError               wait: RESOURCE_EXHAUSTED, carries retry_after
    ├── UpstreamError               the provider
    │   ├── UpstreamUnavailable     UNAVAILABLE, carries retry_after
    │   ├── UpstreamTimeout         DEADLINE_EXCEEDED
    │   └── UpstreamRejected        FAILED_PRECONDITION: content refused, human check wanted
    └── InternalError               us
        └── DependencyUnavailable   UNAVAILABLE: a store or a peer service is away, carries retry_after

Every error has a stable ``reason`` (UPPER_SNAKE, at most 63 characters) which travels as google.rpc.ErrorInfo.reason;
callers decide
by class or reason, never by the message, which is one short sentence for people and holds no secret.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import ClassVar

import grpc


@dataclass(frozen=True, slots=True)
class FieldViolation:
    """What is wrong with one field of a request; ``field`` is the client's path to it, e.g. ``size``."""

    field: str
    description: str


class Flow2APIError(Exception):
    """Root of the tree. ``metadata`` travels in ErrorInfo: short strings, no secrets."""

    code: ClassVar[grpc.StatusCode] = grpc.StatusCode.INTERNAL
    default_reason: ClassVar[str] = "INTERNAL"

    def __init__(
        self,
        message: str,
        *,
        reason: str | None = None,
        metadata: Mapping[str, str] | None = None,
        retry_after: timedelta | None = None,
        violations: Sequence[FieldViolation] = (),
    ) -> None:
        super().__init__(message)
        self.message = message
        self.reason = reason or self.default_reason
        self.metadata: dict[str, str] = dict(metadata or {})
        self.retry_after = retry_after
        self.violations: tuple[FieldViolation, ...] = tuple(violations)


class RequestError(Flow2APIError):
    """The caller has to change the request."""

    code = grpc.StatusCode.INVALID_ARGUMENT
    default_reason = "INVALID_REQUEST"


class InvalidArgument(RequestError):
    """A field has a wrong value; ``violations`` name the fields."""

    default_reason = "INVALID_VALUE"

    @classmethod
    def of(cls, field: str, description: str, *, reason: str | None = None) -> InvalidArgument:
        """One wrong field, whose description is the message too."""
        return cls(description, reason=reason, violations=(FieldViolation(field, description),))


class Unauthenticated(RequestError):
    """Who is asking is not known."""

    code = grpc.StatusCode.UNAUTHENTICATED
    default_reason = "UNAUTHENTICATED"


class PermissionDenied(RequestError):
    """Who is asking may not do this."""

    code = grpc.StatusCode.PERMISSION_DENIED
    default_reason = "PERMISSION_DENIED"


class NotFound(RequestError):
    """The thing does not exist, or is somebody else's."""

    code = grpc.StatusCode.NOT_FOUND
    default_reason = "NOT_FOUND"


class Conflict(RequestError):
    """The thing exists already, or another request has the same idempotency key."""

    code = grpc.StatusCode.ALREADY_EXISTS
    default_reason = "ALREADY_EXISTS"


class FailedPrecondition(RequestError):
    """The state of the thing does not allow this; repeating will not help."""

    code = grpc.StatusCode.FAILED_PRECONDITION
    default_reason = "FAILED_PRECONDITION"


class CapacityError(Flow2APIError):
    """Nothing is free or a quota is spent; repeat after ``retry_after``."""

    code = grpc.StatusCode.RESOURCE_EXHAUSTED
    default_reason = "NO_TOKEN_AVAILABLE"


class UpstreamError(Flow2APIError):
    """The provider failed. ``paid`` tells that it had accepted the generation before, so a repeat may be charged
    again."""

    code = grpc.StatusCode.UNAVAILABLE
    default_reason = "UPSTREAM_ERROR"

    def __init__(
        self,
        message: str,
        *,
        reason: str | None = None,
        metadata: Mapping[str, str] | None = None,
        retry_after: timedelta | None = None,
        paid: bool = False,
    ) -> None:
        super().__init__(message, reason=reason, metadata=metadata, retry_after=retry_after)
        self.paid = paid
        if paid:
            self.metadata["paid"] = "true"


class UpstreamUnavailable(UpstreamError):
    """It answered with a failure of its own, or could not be reached."""

    default_reason = "UPSTREAM_UNAVAILABLE"


class UpstreamTimeout(UpstreamError):
    """It did not answer in time."""

    code = grpc.StatusCode.DEADLINE_EXCEEDED
    default_reason = "UPSTREAM_TIMEOUT"


class UpstreamRejected(UpstreamError):
    """It refused: ``CONTENT_REJECTED`` (content policy) or ``UPSTREAM_VERIFICATION_REQUIRED`` (a person must look)."""

    code = grpc.StatusCode.FAILED_PRECONDITION
    default_reason = "CONTENT_REJECTED"


class InternalError(Flow2APIError):
    """Our own fault; the message is masked outward."""


class DependencyUnavailable(InternalError):
    """A store or a peer service that this one cannot work without is away."""

    code = grpc.StatusCode.UNAVAILABLE
    default_reason = "DEPENDENCY_UNAVAILABLE"
