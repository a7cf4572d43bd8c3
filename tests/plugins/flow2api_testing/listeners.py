"""Ears on what services say to their stores and to whoever collects their traces."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import nats
from nats.aio.msg import Msg
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import (
    TraceServiceServicer,
    add_TraceServiceServicer_to_server,
)

_TIMEOUT_SECONDS = 10.0


class TraceCollector(TraceServiceServicer):
    """An OTLP collector on loopback that keeps what it is sent; ``endpoint`` is for FLOW2API_OTLP_ENDPOINT."""

    def __init__(self) -> None:
        self.endpoint = ""
        self.requests: list[ExportTraceServiceRequest] = []

    def Export(self, request: ExportTraceServiceRequest, context: Any) -> ExportTraceServiceResponse:  # noqa: N802
        self.requests.append(request)
        return ExportTraceServiceResponse()

    @property
    def span_names(self) -> dict[str, set[str]]:
        """Names of spans by the name of the service."""
        names: dict[str, set[str]] = {}
        for request in list(self.requests):
            for resource in request.resource_spans:
                attributes = {each.key: each.value.string_value for each in resource.resource.attributes}
                spans = {span.name for scope in resource.scope_spans for span in scope.spans}
                names.setdefault(attributes["service.name"], set()).update(spans)
        return names

    def content(self) -> bytes:
        """Everything, as it came and as text."""
        requests = list(self.requests)
        return b"".join(each.SerializeToString() + str(each).encode() for each in requests)


@contextmanager
def trace_collector() -> Iterator[TraceCollector]:
    """Collect while inside."""
    collector = TraceCollector()
    server = grpc.server(ThreadPoolExecutor(max_workers=2, thread_name_prefix="traces"))
    add_TraceServiceServicer_to_server(collector, server)  # type: ignore[no-untyped-call] # it has no types
    collector.endpoint = f"http://127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    try:
        yield collector
    finally:
        server.stop(None).wait()


class RedisMonitor:
    """Every command that a Redis is sent, those of its scripts included. Source: Redis documentation, MONITOR."""

    def __init__(self, socket_path: str) -> None:
        self._heard = bytearray()
        self._connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._connection.connect(socket_path)
        self._connection.sendall(b"MONITOR\r\n")
        self._thread = threading.Thread(target=self._listen, name="redis-monitor", daemon=True)
        self._thread.start()

    def content(self) -> bytes:
        return bytes(self._heard)

    def close(self) -> None:
        self._connection.shutdown(socket.SHUT_RDWR)
        self._thread.join(_TIMEOUT_SECONDS)
        self._connection.close()

    def _listen(self) -> None:
        while heard := self._connection.recv(65536):
            self._heard += heard


@contextmanager
def redis_monitor(socket_path: Path | str) -> Iterator[RedisMonitor]:
    """Listen while inside."""
    monitor = RedisMonitor(str(socket_path))
    try:
        yield monitor
    finally:
        monitor.close()


@contextmanager
def nats_tap(url: str) -> Iterator[bytearray]:
    """Every message that a NATS carries while inside: subject, headers, payload."""
    heard = bytearray()
    is_listening, done = threading.Event(), threading.Event()

    async def keep(message: Msg) -> None:
        heard.extend(f"{message.subject}\n{message.headers}\n".encode() + message.data + b"\n")

    async def listen() -> None:
        connection = await nats.connect(url)
        await connection.subscribe(">", cb=keep)
        await connection.flush()
        is_listening.set()
        await asyncio.to_thread(done.wait)
        await connection.close()

    thread = threading.Thread(target=lambda: asyncio.run(listen()), name="nats-tap", daemon=True)
    thread.start()
    try:
        assert is_listening.wait(_TIMEOUT_SECONDS), "NATS does not answer"
        yield heard
    finally:
        done.set()
        thread.join(_TIMEOUT_SECONDS)
