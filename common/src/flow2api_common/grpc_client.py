"""A gRPC channel to another service, and what its failures mean."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterable, Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, TypeAlias, cast

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from pydantic import SecretStr

from flow2api_common.errors import DependencyUnavailable
from flow2api_common.grpc_errors import error_of
from flow2api_common.grpc_options import DEFAULT_MAX_MESSAGE_BYTES, ChannelOptions, common_options
from flow2api_common.grpc_renewing_channel import RenewingChannel
from flow2api_common.grpc_tls import ClientTls, watched_client_credentials
from flow2api_common.request_context import outgoing_headers

DEFAULT_DEADLINE = timedelta(seconds=60)

_READY_POLL_INTERVAL = timedelta(milliseconds=50)

_Details: TypeAlias = grpc.aio.ClientCallDetails
_Requests: TypeAlias = AsyncIterable[Any] | Iterable[Any]


def open_channel(
    address: str,
    *,
    service_token: SecretStr,
    tls: ClientTls | None = None,
    max_message_bytes: int = DEFAULT_MAX_MESSAGE_BYTES,
) -> grpc.aio.Channel:
    """A channel to ``host:port`` or ``unix:/path``; it connects at the first call and again whenever it has to.

    Every call carries the service token, the request id and the trace context; a call with one answer gets a deadline
    of 60 s when it has none. Several addresses behind one name take turns. Close it when done. ``tls`` is for
    ``host:port`` alone. Raises CertificateError when its files cannot be used.
    """
    authorization = f"Bearer {service_token.get_secret_value()}"
    interceptors: list[grpc.aio.ClientInterceptor] = [
        _UnaryUnary(authorization),
        _UnaryStream(authorization),
        _StreamUnary(authorization),
        _StreamStream(authorization),
    ]
    options = _channel_options(max_message_bytes)
    if address.startswith("unix:"):
        return grpc.aio.insecure_channel(address, options=options, interceptors=interceptors)
    target = f"dns:///{address}"
    if tls is None:
        return grpc.aio.insecure_channel(target, options=options, interceptors=interceptors)
    if tls.server_name:
        options.append(("grpc.ssl_target_name_override", tls.server_name))
    return RenewingChannel(
        watched_client_credentials(tls),
        lambda credentials: grpc.aio.secure_channel(target, credentials, options=options, interceptors=interceptors),
    )


@contextmanager
def rpc_errors(service: str) -> Iterator[None]:
    """Around calls, also around ``async for`` over a stream: a failure becomes the error that the server raised.

    ``service`` names the peer for people. A peer that is away, or too late, becomes DependencyUnavailable.
    """
    try:
        yield
    except grpc.aio.AioRpcError as error:
        raise error_of(error, service=service) from error


async def is_serving(channel: grpc.aio.Channel, *, service: str, timeout: timedelta) -> bool:
    """What the peer's health says now; ``service`` names it for people. Raises as `rpc_errors`."""
    stub = cast("Any", health_pb2_grpc.HealthStub(channel))
    with rpc_errors(service):
        answer = await stub.Check(health_pb2.HealthCheckRequest(), timeout=timeout.total_seconds())
    return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)


async def wait_until_ready(channel: grpc.aio.Channel, timeout: timedelta) -> None:
    """Wait until the peer's health says SERVING. Raises DependencyUnavailable after ``timeout``."""
    # Its types know the blocking channel alone.
    stub = cast("Any", health_pb2_grpc.HealthStub(channel))
    try:
        async with asyncio.timeout(timeout.total_seconds()):
            while not await _is_serving(stub, timeout):  # noqa: ASYNC110 - what is awaited is another process
                await asyncio.sleep(_READY_POLL_INTERVAL.total_seconds())
    except TimeoutError as error:
        raise DependencyUnavailable("the peer did not become ready in time") from error


async def _is_serving(stub: Any, timeout: timedelta) -> bool:
    request = health_pb2.HealthCheckRequest()
    try:
        answer = await stub.Check(request, timeout=timeout.total_seconds(), wait_for_ready=True)
    except grpc.aio.AioRpcError as error:
        if error.code() not in {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED}:
            raise error_of(error, service="peer") from error
        return False
    return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)


def _channel_options(max_message_bytes: int) -> ChannelOptions:
    return [
        *common_options(max_message_bytes),
        ("grpc.service_config", json.dumps({"loadBalancingConfig": [{"round_robin": {}}]})),
        # A peer that comes back is found within a second or two, also when its name leads elsewhere now.
        ("grpc.initial_reconnect_backoff_ms", 100),
        ("grpc.min_reconnect_backoff_ms", 1000),
        ("grpc.max_reconnect_backoff_ms", 2000),
        ("grpc.dns_min_time_between_resolutions_ms", 1000),
        # Our peers are never behind the proxy of the environment.
        ("grpc.enable_http_proxy", 0),
    ]


class _Caller:
    """What the four interceptors share."""

    def __init__(self, authorization: str) -> None:
        self._authorization = authorization

    def _with_context(self, details: _Details, *, has_deadline: bool) -> _Details:
        metadata = grpc.aio.Metadata(
            *(details.metadata or ()), ("authorization", self._authorization), *outgoing_headers().items()
        )
        timeout = details.timeout
        if timeout is None and has_deadline:
            timeout = DEFAULT_DEADLINE.total_seconds()
        return grpc.aio.ClientCallDetails(
            details.method, timeout, metadata, details.credentials, details.wait_for_ready
        )


class _UnaryUnary(_Caller, grpc.aio.UnaryUnaryClientInterceptor):
    async def intercept_unary_unary(
        self, continuation: Callable[[_Details, Any], Awaitable[Any]], client_call_details: _Details, request: Any
    ) -> Any:
        return await continuation(self._with_context(client_call_details, has_deadline=True), request)


class _UnaryStream(_Caller, grpc.aio.UnaryStreamClientInterceptor):
    async def intercept_unary_stream(
        self, continuation: Callable[[_Details, Any], Awaitable[Any]], client_call_details: _Details, request: Any
    ) -> Any:
        return await continuation(self._with_context(client_call_details, has_deadline=False), request)


class _StreamUnary(_Caller, grpc.aio.StreamUnaryClientInterceptor):
    async def intercept_stream_unary(
        self,
        continuation: Callable[[_Details, _Requests], Awaitable[Any]],
        client_call_details: _Details,
        request_iterator: _Requests,
    ) -> Any:
        return await continuation(self._with_context(client_call_details, has_deadline=True), request_iterator)


class _StreamStream(_Caller, grpc.aio.StreamStreamClientInterceptor):
    async def intercept_stream_stream(
        self,
        continuation: Callable[[_Details, _Requests], Awaitable[Any]],
        client_call_details: _Details,
        request_iterator: _Requests,
    ) -> Any:
        return await continuation(self._with_context(client_call_details, has_deadline=False), request_iterator)
