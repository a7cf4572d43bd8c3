"""Numbers of the gateway for Prometheus."""

from __future__ import annotations

from typing import Final

from prometheus_client import Counter, Gauge, Histogram

REQUESTS: Final = Counter("flow2api_gateway_requests_total", "Answered requests.", ("method", "route", "status"))
DURATION: Final = Histogram(
    "flow2api_gateway_request_duration_seconds",
    "Time from the request's head to the end of its answer.",
    ("method", "route"),
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600),
)
IN_FLIGHT: Final = Gauge("flow2api_gateway_requests_in_flight", "Requests under way.")
