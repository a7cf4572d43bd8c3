"""Standard Webhooks signatures, and the secrets that they are made with.

Source: docs/upstream/openai.md, section 9; https://www.standardwebhooks.com.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import secrets
from collections.abc import Sequence
from datetime import datetime
from typing import Final

from pydantic import SecretStr

from flow2api_common.keys import derive_key

_PREFIX: Final = "whsec_"
_NEW_BYTES: Final = 32
_KEY_BYTES: Final = range(16, 65)
_PLAIN_CHARACTERS: Final = range(16, 257)


def is_signing_secret(secret: str) -> bool:
    """Whether it may be signed with: ``whsec_`` and base64 of 16 to 64 bytes, or 16 to 256 other characters."""
    if not secret.startswith(_PREFIX):
        return len(secret) in _PLAIN_CHARACTERS and secret.isprintable()
    try:
        return len(base64.b64decode(secret.removeprefix(_PREFIX), validate=True)) in _KEY_BYTES
    except (binascii.Error, ValueError):
        return False


def new_signing_secret() -> str:
    """A random one."""
    return _PREFIX + base64.b64encode(secrets.token_bytes(_NEW_BYTES)).decode()


def signing_secret_of_key(secret_key: SecretStr, api_key_id: str) -> str:
    """The one of an API key, for jobs that name a URL and no secret: always the same, and stored nowhere."""
    return _PREFIX + base64.b64encode(derive_key(secret_key, f"webhook-signing/{api_key_id}", _NEW_BYTES)).decode()


def signature_headers(*, event_id: str, at: datetime, body: bytes, signing_secrets: Sequence[str]) -> dict[str, str]:
    """The three headers of one attempt, with a signature by each secret."""
    timestamp = str(int(at.timestamp()))
    signed = b"%b.%b.%b" % (event_id.encode(), timestamp.encode(), body)
    signatures = [
        "v1," + base64.b64encode(hmac.digest(_key_of(secret), signed, "sha256")).decode() for secret in signing_secrets
    ]
    return {"webhook-id": event_id, "webhook-timestamp": timestamp, "webhook-signature": " ".join(signatures)}


def _key_of(secret: str) -> bytes:
    if secret.startswith(_PREFIX):
        return base64.b64decode(secret.removeprefix(_PREFIX))
    return secret.encode()
