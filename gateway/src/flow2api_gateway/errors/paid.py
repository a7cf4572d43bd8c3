"""Errors after the upstream was paid: SDKs repeat many of them by themselves, and would buy the same thing again."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from flow2api_common.errors import Flow2APIError


@contextmanager
def after_payment() -> Iterator[None]:
    """Within it, every error leaves as one that must not be repeated (``x-should-retry: false``)."""
    try:
        yield
    except Flow2APIError as error:
        error.metadata["paid"] = "true"
        raise
