"""What goes wrong with NATS, as an error of ours."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import nats.errors

from flow2api_common.errors import DependencyUnavailable

_RETRY_AFTER = timedelta(seconds=1)


def nats_unavailable(message: str = "NATS is away") -> DependencyUnavailable:
    """The error that says so."""
    return DependencyUnavailable(message, metadata={"dependency": "nats"}, retry_after=_RETRY_AFTER)


@contextmanager
def nats_errors() -> Iterator[None]:
    """Around calls of nats-py: every error of it (they share one root), and a timeout, means that NATS is away."""
    try:
        yield
    except (nats.errors.Error, OSError) as error:
        # TimeoutError is an OSError.
        raise nats_unavailable() from error
