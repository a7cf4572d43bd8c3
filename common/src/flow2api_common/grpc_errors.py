"""The error tree as google.rpc.Status, and back.

The class travels in ``ErrorInfo.metadata`` beside the metadata of the error itself, because several classes share one
gRPC code. Source of the details: google/rpc/error_details.proto.
"""

from __future__ import annotations

from datetime import timedelta

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import (  # type: ignore[import-untyped] # no marker of types in the package
    BadRequest,
    ErrorInfo,
    RetryInfo,
)
from google.rpc.status_pb2 import Status  # type: ignore[import-untyped] # as above

from flow2api_common import errors
from flow2api_common.errors import DependencyUnavailable, FieldViolation, Flow2APIError, InternalError, UpstreamError
from flow2api_common.logs import redact

ERROR_DOMAIN = "flow2api"
STATUS_DETAILS_KEY = "grpc-status-details-bin"
SERVICE_TOKEN_INVALID = "SERVICE_TOKEN_INVALID"  # noqa: S105 - a reason, no secret

_CLASS_KEY = "error_class"

ERROR_CLASSES: dict[str, type[Flow2APIError]] = {
    name: member
    for name, member in vars(errors).items()
    if isinstance(member, type) and issubclass(member, Flow2APIError)
}

# What gRPC itself, or a server that is not ours, answers.
_CLASS_OF_CODE: dict[grpc.StatusCode, type[Flow2APIError]] = {
    grpc.StatusCode.INVALID_ARGUMENT: errors.InvalidArgument,
    grpc.StatusCode.OUT_OF_RANGE: errors.InvalidArgument,
    # Without our details it comes from gRPC: a message over the size limit.
    grpc.StatusCode.RESOURCE_EXHAUSTED: errors.InvalidArgument,
    grpc.StatusCode.UNAUTHENTICATED: errors.Unauthenticated,
    grpc.StatusCode.PERMISSION_DENIED: errors.PermissionDenied,
    grpc.StatusCode.NOT_FOUND: errors.NotFound,
    grpc.StatusCode.ALREADY_EXISTS: errors.Conflict,
    grpc.StatusCode.ABORTED: errors.Conflict,
    grpc.StatusCode.FAILED_PRECONDITION: errors.FailedPrecondition,
    # The peer is away, answers too late, or goes down under the call.
    grpc.StatusCode.UNAVAILABLE: DependencyUnavailable,
    grpc.StatusCode.DEADLINE_EXCEEDED: DependencyUnavailable,
    grpc.StatusCode.CANCELLED: DependencyUnavailable,
}

_RETRY_AFTER_UNAVAILABLE = timedelta(seconds=1)

PEER_CONNECTION_REFUSED = "PEER_CONNECTION_REFUSED"

# How gRPC tells a connection that never came to be although somebody answers, and what the operator can do. gRPC has
# only texts for it; nothing is decided by them but what people read.
_CLOSED_AT_ONCE = (
    "it closes the connection at once, as one that wants TLS (FLOW2API_GRPC_CA_FILE) or a client certificate"
    " (FLOW2API_GRPC_CLIENT_CERT_FILE)"
)
_CONNECTION_FAILURES: tuple[tuple[tuple[str, ...], str], ...] = (
    (("WRONG_VERSION_NUMBER",), "it does not speak TLS, which FLOW2API_GRPC_CA_FILE asks for"),
    (("Tls handshake failed",), "its certificate is not signed by a CA in FLOW2API_GRPC_CA_FILE, or has ended"),
    (
        ("Hostname Verification",),
        "its certificate is for another name (FLOW2API_TOKEN_SERVER_NAME, FLOW2API_GENERATION_SERVER_NAME)",
    ),
    # Behind "last error" stands why no connection came to be; a call that loses its connection has no such words.
    (("last error", "Socket closed"), _CLOSED_AT_ONCE),
    (("last error", "Connection reset"), _CLOSED_AT_ONCE),
)


def status_of(error: Flow2APIError, *, request_id: str) -> Status:
    """What the caller is told. The message of an error that is INTERNAL is masked, and its metadata is left out."""
    is_masked = error.code is grpc.StatusCode.INTERNAL
    message = f"internal error, request id {request_id}" if is_masked else redact(error.message)
    metadata = {} if is_masked else {key: redact(value) for key, value in error.metadata.items()}
    info = ErrorInfo(
        reason=error.reason, domain=ERROR_DOMAIN, metadata={**metadata, _CLASS_KEY: error_class_name(error)}
    )
    status = Status(code=error.code.value[0], message=message, details=[_packed(info)])
    if error.retry_after is not None:
        delay = Duration()
        delay.FromTimedelta(error.retry_after)
        status.details.append(_packed(RetryInfo(retry_delay=delay)))
    if error.violations:
        violations = [
            BadRequest.FieldViolation(field=violation.field, description=redact(violation.description))
            for violation in error.violations
        ]
        status.details.append(_packed(BadRequest(field_violations=violations)))
    return status


def error_of(call: grpc.aio.AioRpcError, *, service: str) -> Flow2APIError:
    """The error that the server raised; or what gRPC's own failure means to the caller of ``service``."""
    status = _status_in(call)
    info = ErrorInfo()
    if status is None or not _unpack(status, info) or info.domain != ERROR_DOMAIN:
        return _error_of_code(call, service)
    if info.reason == SERVICE_TOKEN_INVALID:
        # Our own settings are at fault; the caller's caller must not hear that it is not known.
        return InternalError(f"the {service} service refuses our service token", reason=SERVICE_TOKEN_INVALID)
    metadata = dict(info.metadata)
    error_class = ERROR_CLASSES.get(metadata.pop(_CLASS_KEY, ""), _CLASS_OF_CODE.get(call.code(), InternalError))
    retry = RetryInfo()
    retry_after = retry.retry_delay.ToTimedelta() if _unpack(status, retry) else None
    if issubclass(error_class, UpstreamError):
        return error_class(
            status.message,
            reason=info.reason,
            metadata=metadata,
            retry_after=retry_after,
            paid=metadata.get("paid") == "true",
        )
    bad_request = BadRequest()
    _unpack(status, bad_request)
    violations = [FieldViolation(item.field, item.description) for item in bad_request.field_violations]
    return error_class(
        status.message, reason=info.reason, metadata=metadata, retry_after=retry_after, violations=violations
    )


def error_class_name(error: Flow2APIError) -> str:
    """The key of an error in ERROR_CLASSES: a service's own subclass travels as the class of the tree that it is one
    of."""
    return next(cls.__name__ for cls in type(error).__mro__ if ERROR_CLASSES.get(cls.__name__) is cls)


def _error_of_code(call: grpc.aio.AioRpcError, service: str) -> Flow2APIError:
    code = call.code()
    error_class = _CLASS_OF_CODE.get(code, InternalError)
    details = redact(call.details() or "no details")
    if error_class is DependencyUnavailable:
        hint = _connection_hint(call)
        if hint:
            return DependencyUnavailable(
                f"the {service} service cannot be talked to: {hint}",
                reason=PEER_CONNECTION_REFUSED,
                metadata={"dependency": service, "grpc_code": code.name},
                retry_after=_RETRY_AFTER_UNAVAILABLE,
            )
        return DependencyUnavailable(
            f"the {service} service is away ({code.name})",
            metadata={"dependency": service, "grpc_code": code.name},
            retry_after=_RETRY_AFTER_UNAVAILABLE,
        )
    return error_class(f"the {service} service answered {code.name}: {details}", metadata={"grpc_code": code.name})


def _connection_hint(call: grpc.aio.AioRpcError) -> str:
    details = call.details() or ""
    return next((hint for signs, hint in _CONNECTION_FAILURES if all(sign in details for sign in signs)), "")


def _packed(message: ErrorInfo | RetryInfo | BadRequest) -> AnyMessage:
    packed = AnyMessage()
    packed.Pack(message)
    return packed


def _unpack(status: Status, into: ErrorInfo | RetryInfo | BadRequest) -> bool:
    return any(detail.Unpack(into) for detail in status.details)


def _status_in(call: grpc.aio.AioRpcError) -> Status | None:
    for key, value in call.trailing_metadata() or ():
        if key == STATUS_DETAILS_KEY and isinstance(value, bytes):
            return Status.FromString(value)
    return None
