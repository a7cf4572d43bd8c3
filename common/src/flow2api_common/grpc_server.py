"""A gRPC server as every service runs it: service token, honest health, reflection, errors with details."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection
from pydantic import SecretStr

from flow2api_common.grpc_options import DEFAULT_MAX_MESSAGE_BYTES, KEEPALIVE_INTERVAL, ChannelOptions, common_options
from flow2api_common.grpc_server_interceptor import RpcInterceptor
from flow2api_common.grpc_tls import ServerTls, server_credentials
from flow2api_common.lifecycle import end_tasks
from flow2api_common.logs import get_logger

log = get_logger(__name__)

_READINESS_INTERVAL = timedelta(seconds=1)
_READINESS_TIMEOUT = timedelta(seconds=5)
_SERVING = health_pb2.HealthCheckResponse.SERVING
_NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


class GrpcServer:
    """One server on one address. Servicers raise Flow2APIError; they never abort.

    ``address`` is ``host:port`` (port 0 takes a free one) or ``unix:/path``. ``service_names`` are the full names that
    health and reflection tell of. ``readiness`` raises while something that the service cannot work without is away; it
    is asked every second, and health answers NOT_SERVING until it returns. ``tls`` is for ``host:port`` alone.
    """

    def __init__(
        self,
        *,
        address: str,
        service_token: SecretStr,
        service_names: Sequence[str],
        readiness: Callable[[], Awaitable[None]],
        tls: ServerTls | None = None,
        max_message_bytes: int = DEFAULT_MAX_MESSAGE_BYTES,
        readiness_interval: timedelta = _READINESS_INTERVAL,
    ) -> None:
        self._address = address
        self._service_names = tuple(service_names)
        self._readiness = readiness
        self._tls = None if address.startswith("unix:") else tls
        self._readiness_interval = readiness_interval
        self._interceptor = RpcInterceptor(service_token)
        self._options = _server_options(max_message_bytes)
        self._adds: list[Callable[[grpc.aio.Server], None]] = []
        self._health = health.aio.HealthServicer()
        self._server: grpc.aio.Server | None = None
        self._watch: asyncio.Task[None] | None = None
        self._is_ready: bool | None = None

    def register(self, add: Callable[[grpc.aio.Server], None]) -> None:
        """Add a servicer, before the start: ``register(lambda server: add_XServicer_to_server(servicer, server))``."""
        self._adds.append(add)

    async def start(self) -> str:
        """Listen, and give the bound address. Raises RuntimeError when the address cannot be had, CertificateError."""
        server = grpc.aio.server(interceptors=[self._interceptor], options=self._options)
        for add in self._adds:
            add(server)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, server)
        reflected = (*self._service_names, health.SERVICE_NAME, reflection.SERVICE_NAME)
        reflection.enable_server_reflection(reflected, server)
        await self._tell(_NOT_SERVING)
        port = self._add_port(server)
        await server.start()
        self._server = server
        self._watch = asyncio.create_task(self._watch_readiness(), name="grpc-readiness")
        address = self._address if self._address.startswith("unix:") else f"{self._address.rpartition(':')[0]}:{port}"
        log.info("grpc_server_started", address=address, is_tls=self._tls is not None)
        return address

    def _add_port(self, server: grpc.aio.Server) -> int:
        if self._tls is None:
            return server.add_insecure_port(self._address)
        return server.add_secure_port(self._address, server_credentials(self._tls))

    async def stop(self, grace: timedelta) -> None:
        """Tell NOT_SERVING, take no new RPC, give those under way ``grace``, then cancel them. Safe to repeat."""
        server, self._server = self._server, None
        if server is None:
            return
        await self._health.enter_graceful_shutdown()
        if self._watch is not None:
            await end_tasks([self._watch])
        await server.stop(grace.total_seconds())
        log.info("grpc_server_stopped")

    async def _watch_readiness(self) -> None:
        while True:
            is_ready = await self._check_readiness()
            await self._tell(_SERVING if is_ready else _NOT_SERVING)
            await asyncio.sleep(self._readiness_interval.total_seconds())

    async def _check_readiness(self) -> bool:
        reason = ""
        try:
            async with asyncio.timeout(_READINESS_TIMEOUT.total_seconds()):
                await self._readiness()
        except Exception as error:  # noqa: BLE001 - whatever it raises means: not ready
            reason = f"{type(error).__name__}: {error}"
        is_ready = not reason
        if is_ready is not self._is_ready:
            was_ready, self._is_ready = self._is_ready, is_ready
            if is_ready:
                log.info("service_ready", services=self._service_names)
            else:
                # Not being ready yet is how a service begins; ceasing to be is what somebody must know.
                log.log(
                    logging.WARNING if was_ready else logging.INFO,
                    "service_not_ready",
                    services=self._service_names,
                    cause=reason,
                )
        return is_ready

    async def _tell(self, status: int) -> None:
        for name in ("", *self._service_names):
            await self._health.set(name, status)


def _server_options(max_message_bytes: int) -> ChannelOptions:
    return [
        *common_options(max_message_bytes),
        ("grpc.http2.min_ping_interval_without_data_ms", (KEEPALIVE_INTERVAL // 2) // timedelta(milliseconds=1)),
        # Two servers on one port must be an error, not a lottery.
        ("grpc.so_reuseport", 0),
    ]
