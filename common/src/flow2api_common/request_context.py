"""What travels beside a request through gRPC metadata and NATS headers: its id and its trace context."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import structlog
from opentelemetry import context as otel_context
from opentelemetry import propagate

from flow2api_common.ids import new_id

REQUEST_ID_HEADER = "x-request-id"

_REQUEST_ID_FIELD = "request_id"
_ACCEPTABLE_ID = re.compile(r"[A-Za-z0-9._\-]{1,128}")


def current_request_id() -> str | None:
    """The id of the request that this task works for."""
    value = structlog.contextvars.get_contextvars().get(_REQUEST_ID_FIELD)
    return value if isinstance(value, str) else None


def acceptable_request_id(candidate: str | None) -> str:
    """The candidate, when it is safe to log and to pass on; else a new id."""
    if candidate is not None and _ACCEPTABLE_ID.fullmatch(candidate):
        return candidate
    return new_id("req")


def outgoing_headers() -> dict[str, str]:
    """``x-request-id`` and ``traceparent`` of the current request, as far as there is one."""
    headers: dict[str, str] = {}
    propagate.inject(headers)
    request_id = current_request_id()
    if request_id is not None:
        headers[REQUEST_ID_HEADER] = request_id
    return headers


@contextmanager
def incoming_request(headers: Mapping[str, str]) -> Iterator[str]:
    """Work in the context that the headers tell: the request id is bound to every log entry, the trace goes on.

    Gives the request id, a new one when none came. Header names are lower-case.
    """
    request_id = acceptable_request_id(headers.get(REQUEST_ID_HEADER))
    attached = otel_context.attach(propagate.extract(headers))
    try:
        with structlog.contextvars.bound_contextvars(**{_REQUEST_ID_FIELD: request_id}):
            yield request_id
    finally:
        otel_context.detach(attached)
