"""What happens around every RPC of a server: who asks, in which context, how it ended."""

from __future__ import annotations

import asyncio
import hmac
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from typing import Any, TypeAlias, cast

import grpc
from grpc_status import rpc_status
from opentelemetry.trace import SpanKind
from prometheus_client import Counter, Gauge, Histogram
from pydantic import SecretStr

from flow2api_common.errors import DependencyUnavailable, Flow2APIError, InternalError, Unauthenticated
from flow2api_common.grpc_errors import SERVICE_TOKEN_INVALID, status_of
from flow2api_common.logs import get_logger
from flow2api_common.request_context import incoming_request
from flow2api_common.telemetry import tracer

log = get_logger(__name__)

RPCS_TOTAL = Counter(
    "flow2api_grpc_server_handled_total",
    "RPCs that ended, by status code",
    ["grpc_service", "grpc_method", "grpc_code"],
)
RPC_SECONDS = Histogram(
    "flow2api_grpc_server_handling_seconds",
    "Duration of RPCs, streams to their end",
    ["grpc_service", "grpc_method"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300),
)
RPCS_IN_FLIGHT = Gauge("flow2api_grpc_server_in_flight", "RPCs under way", ["grpc_service", "grpc_method"])

_Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"  # generic in its stubs alone
_Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"
_Behaviour: TypeAlias = Callable[[Any, _Context], Any]


# By whether the request is a stream.
_ONCE_BUILDERS: dict[bool, Callable[..., _Handler]] = {
    False: grpc.unary_unary_rpc_method_handler,
    True: grpc.stream_unary_rpc_method_handler,
}
_STREAM_BUILDERS: dict[bool, Callable[..., _Handler]] = {
    False: grpc.unary_stream_rpc_method_handler,
    True: grpc.stream_stream_rpc_method_handler,
}


class RpcInterceptor(grpc.aio.ServerInterceptor):
    """Checks the service token, binds request id and trace, counts, and turns exceptions into statuses.

    A Flow2APIError becomes its code with google.rpc details; any other exception becomes INTERNAL, masked outward and
    logged with the request id. Cancellation passes untouched.
    """

    def __init__(self, service_token: SecretStr) -> None:
        self._expected = f"Bearer {service_token.get_secret_value()}".encode()

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[_Handler | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> _Handler | None:
        """Wrap the handler, whichever of the four kinds it is."""
        handler = await continuation(handler_call_details)
        if handler is None:
            return None
        method = handler_call_details.method
        headers = {key: value for key, value in handler_call_details.invocation_metadata if isinstance(value, str)}

        async def answer_once(request: Any, context: _Context) -> Any:
            async with self._around(method, headers, context):
                return await behaviour(request, context)

        async def answer_as_stream(request: Any, context: _Context) -> None:
            async with self._around(method, headers, context):
                await _write_all(behaviour(request, context), context)

        behaviour = _behaviour_of(handler)
        if handler.response_streaming:
            return _STREAM_BUILDERS[handler.request_streaming](
                answer_as_stream, handler.request_deserializer, handler.response_serializer
            )
        return _ONCE_BUILDERS[handler.request_streaming](
            answer_once, handler.request_deserializer, handler.response_serializer
        )

    @asynccontextmanager
    async def _around(self, method: str, headers: dict[str, str], context: _Context) -> AsyncIterator[None]:
        service, _, name = method.lstrip("/").partition("/")
        started = time.perf_counter()
        code = grpc.StatusCode.OK
        with (
            RPCS_IN_FLIGHT.labels(service, name).track_inprogress(),
            incoming_request(headers) as request_id,
            tracer().start_as_current_span(
                f"{service}/{name}", kind=SpanKind.SERVER, record_exception=False, set_status_on_exception=False
            ) as span,
        ):
            try:
                self._check_service_token(headers)
                yield
            except grpc.aio.AbortError:
                # A servicer of grpc itself (health) has chosen its status.
                code = _code_of(context)
                raise
            except asyncio.CancelledError:
                code = grpc.StatusCode.CANCELLED
                raise
            except Exception as error:  # noqa: BLE001 - the border of the process: everything becomes a status here
                failure = _as_failure(error)
                code = failure.code
                _log_failure(method, failure, error)
                await context.abort_with_status(rpc_status.to_status(status_of(failure, request_id=request_id)))
            finally:
                seconds = time.perf_counter() - started
                span.set_attribute("rpc.grpc.status_code", code.value[0])
                RPCS_TOTAL.labels(service, name, code.name).inc()
                RPC_SECONDS.labels(service, name).observe(seconds)
                log.debug("rpc_ended", method=method, code=code.name, duration_ms=round(seconds * 1000, 3))

    def _check_service_token(self, headers: dict[str, str]) -> None:
        if not hmac.compare_digest(headers.get("authorization", "").encode(), self._expected):
            raise Unauthenticated("the service token is wrong or missing", reason=SERVICE_TOKEN_INVALID)


def _behaviour_of(handler: _Handler) -> _Behaviour:
    """The servicer's method; a handler has exactly one of the four."""
    methods = (handler.unary_unary, handler.unary_stream, handler.stream_unary, handler.stream_stream)
    return cast("_Behaviour", next(method for method in methods if method is not None))


async def _write_all(responses: Any, context: _Context) -> None:
    """Run a streaming handler: an async generator, or a coroutine that writes by itself, as the health service does."""
    if not hasattr(responses, "__aiter__"):
        await responses
        return
    # Closed here and not by the garbage collector, so that the servicer's cleanup runs before the RPC ends.
    async with aclosing(responses):
        async for response in responses:
            await context.write(response)


def _as_failure(error: Exception) -> Flow2APIError:
    """The error to tell; a task group that failed with one of ours counts as that one."""
    while isinstance(error, ExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error if isinstance(error, Flow2APIError) else InternalError("unexpected error")


def _log_failure(method: str, failure: Flow2APIError, error: Exception) -> None:
    fields = {"method": method, "reason": failure.reason, "code": failure.code.name}
    if isinstance(failure, DependencyUnavailable):
        log.warning("rpc_dependency_unavailable", **fields, message=failure.message, cause=repr(failure.__cause__))
    elif isinstance(failure, InternalError):
        log.error("rpc_failed", **fields, exc_info=error)
    else:
        log.info("rpc_refused", **fields, message=failure.message)


def _code_of(context: _Context) -> grpc.StatusCode:
    # Its type promises a code; at run time it is a number, 0 before one is chosen.
    code = cast("Any", context.code())
    return next((known for known in grpc.StatusCode if code in (known, known.value[0])), grpc.StatusCode.UNKNOWN)
