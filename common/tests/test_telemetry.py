"""Metrics are served where the settings say; spans go nowhere unless told."""

from __future__ import annotations

import urllib.request

import pytest
from opentelemetry import trace
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags
from prometheus_client import Counter

from flow2api_common.request_context import incoming_request, outgoing_headers
from flow2api_common.settings import BaseServiceSettings
from flow2api_common.telemetry import metrics_server, setup_telemetry, tracer

SAMPLE = Counter("flow2api_test_sample_total", "For this test")


async def test_metrics_are_served_while_inside() -> None:
    SAMPLE.inc(41)
    async with metrics_server(BaseServiceSettings(metrics_addr="127.0.0.1:0")) as address:
        with urllib.request.urlopen(f"http://{address}/metrics") as answer:  # noqa: ASYNC210 - our own loopback
            text = answer.read().decode()
    assert "flow2api_test_sample_total 41.0" in text
    with pytest.raises(OSError, match="refused"):
        urllib.request.urlopen(f"http://{address}/metrics")  # noqa: ASYNC210 - our own loopback


async def test_without_an_address_nothing_is_served() -> None:
    async with metrics_server(BaseServiceSettings()) as address:
        assert address == ""


def test_without_an_endpoint_spans_are_not_recorded() -> None:
    setup_telemetry(BaseServiceSettings(), "gateway")
    with tracer().start_as_current_span("work") as span:
        assert not span.is_recording()


def test_trace_context_travels_without_an_endpoint() -> None:
    span = NonRecordingSpan(SpanContext(0xABC, 0x12, is_remote=False, trace_flags=TraceFlags(1)))
    with trace.use_span(span), tracer().start_as_current_span("inner"):
        headers = outgoing_headers()
    with incoming_request(headers):
        assert trace.get_current_span().get_span_context().trace_id == 0xABC
    assert not trace.get_current_span().get_span_context().is_valid


def test_the_request_id_is_kept_and_forgotten_after() -> None:
    with incoming_request({"x-request-id": "req_1"}) as request_id:
        assert outgoing_headers()["x-request-id"] == request_id == "req_1"
    assert "x-request-id" not in outgoing_headers()
