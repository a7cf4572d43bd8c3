"""The idempotency keys of clients: what they may look like, and under what they are kept."""

from __future__ import annotations

import hashlib
from datetime import timedelta
from typing import Final

from flow2api_common.errors import InvalidArgument
from flow2api_common.settings import BaseServiceSettings, Duration

LONGEST_KEY: Final = 255
LONGEST_SCOPE: Final = 200


class IdempotencySettings(BaseServiceSettings):
    """How long keys are remembered."""

    idempotency_retention: Duration = timedelta(hours=24)
    """How long a repeat with the same idempotency key gets the first result."""


def check_key(request_id: str, request_scope: str) -> None:
    """Refuse a key that cannot be one. Raises InvalidArgument for ``request_id`` and ``request_scope``."""
    if len(request_id) > LONGEST_KEY:
        raise InvalidArgument.of("request_id", f"An idempotency key has at most {LONGEST_KEY} characters.")
    if not (request_id.isascii() and request_id.isprintable()):
        raise InvalidArgument.of("request_id", "An idempotency key consists of printable ASCII characters.")
    if len(request_scope) > LONGEST_SCOPE:
        raise InvalidArgument.of("request_scope", f"A scope has at most {LONGEST_SCOPE} characters.")


def kept_key(request_id: str, request_scope: str) -> str:
    """What the tables know a key by: of a fixed length, and telling nothing of what clients put into theirs."""
    return hashlib.sha256(f"{request_scope}\0{request_id}".encode()).hexdigest()
