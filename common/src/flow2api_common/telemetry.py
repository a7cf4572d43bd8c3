"""Traces and metrics of a process. Trace context always travels; spans are kept only when there is a place for them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from prometheus_client import start_http_server

from flow2api_common.logs import get_logger
from flow2api_common.settings import BaseServiceSettings

log = get_logger(__name__)

_INSTRUMENTATION = "flow2api"


def setup_telemetry(settings: BaseServiceSettings, service: str) -> None:
    """Send the spans of this process to ``otlp_endpoint``, once; nothing is set up when that is empty."""
    if not settings.otlp_endpoint:
        return
    provider = TracerProvider(resource=Resource.create({SERVICE_NAME: f"flow2api-{service}"}))
    is_insecure = not settings.otlp_endpoint.startswith("https://")
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(settings.otlp_endpoint, insecure=is_insecure)))
    trace.set_tracer_provider(provider)


def tracer() -> trace.Tracer:
    """What spans are started with; without a place for them it only passes the trace context on."""
    return trace.get_tracer(_INSTRUMENTATION)


@asynccontextmanager
async def metrics_server(settings: BaseServiceSettings) -> AsyncIterator[str]:
    """Serve ``/metrics`` on ``metrics_addr`` while inside, from a thread; gives the bound ``host:port``.

    Does nothing, and gives an empty text, when ``metrics_addr`` is empty. Raises OSError when the address is taken.
    """
    if not settings.metrics_addr:
        yield ""
        return
    host, _, port = settings.metrics_addr.rpartition(":")
    server, thread = start_http_server(int(port), host)
    address = f"{host}:{server.server_port}"
    log.info("metrics_served", address=address)
    try:
        yield address
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
