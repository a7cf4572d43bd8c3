"""What is counted about pictures."""

from __future__ import annotations

from prometheus_client import Counter, Histogram

IMAGES_TOTAL = Counter(
    "flow2api_images_total",
    "Pictures asked for, by how it ended: ok, or the reason of the error",
    ["model", "outcome"],
)
IMAGE_SECONDS = Histogram(
    "flow2api_image_seconds",
    "Duration of pictures that were made, from the request to the stored file",
    ["model", "provider"],
    buckets=(0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 30, 45, 60, 90, 120, 180, 300),
)
IMAGE_FAILURES_TOTAL = Counter(
    "flow2api_image_upstream_failures_total",
    "Failed upstream tries for pictures, by the class of the failure",
    ["provider", "failure"],
)
VERIFICATIONS_TOTAL = Counter(
    "flow2api_upstream_verification_required_total",
    "Times that an upstream wanted a person to look",
    ["provider"],
)
