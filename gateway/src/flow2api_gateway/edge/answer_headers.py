"""Headers that become known while a request is worked on, by whoever learns of them, before its answer begins."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar

# A dict of the request, so that the tasks that work for it write where the answer reads.
_noted: ContextVar[dict[str, str] | None] = ContextVar("answer_headers", default=None)


@contextmanager
def noting_headers() -> Iterator[Mapping[str, str]]:
    """Around one request: what `note_headers` was told meanwhile, also by tasks that were begun within."""
    headers: dict[str, str] = {}
    token = _noted.set(headers)
    try:
        yield headers
    finally:
        _noted.reset(token)


def note_headers(headers: Mapping[str, str]) -> None:
    """Add headers to the answer of the current request; they count when it has not begun."""
    noted = _noted.get()
    if noted is not None:
        noted.update(headers)


def note_replay() -> None:
    """Say that the answer is that of an earlier request with the same idempotency key."""
    note_headers({"idempotency-replayed": "true"})
