"""The signed statement that buys an access token. Source: docs/upstream/google-official.md, section 3."""

import asyncio
from datetime import datetime, timedelta

from google.auth import jwt
from google.auth.crypt import RSASigner

from flow2api_upstream.vertex.credential import ServiceAccountKey, unreadable

SCOPE = "https://www.googleapis.com/auth/cloud-platform"
AUDIENCE = "https://oauth2.googleapis.com/token"
"""Constant, wherever the statement is sent to."""

_LIFETIME = timedelta(hours=1)
_CLOCK_SKEW = timedelta(seconds=10)
"""A statement from the future is refused: clocks differ by a little."""


async def signed_assertion(key: ServiceAccountKey, now: datetime) -> str:
    """A JWT of one hour, signed off the loop. Raises UpstreamFailure AUTH when the private key is none."""
    return await asyncio.to_thread(_sign, key, now)


def _sign(key: ServiceAccountKey, now: datetime) -> str:
    try:
        # google-auth is typed in part.
        signer = RSASigner.from_string(key.private_key, key.private_key_id or None)  # type: ignore[no-untyped-call]
    except (ValueError, TypeError):
        # The cause may quote the key.
        raise unreadable(
            "The private key of the document is damaged: paste the whole file as Google gave it."
        ) from None
    issued = now - _CLOCK_SKEW
    claims = {
        "iss": key.client_email,
        "scope": SCOPE,
        "aud": AUDIENCE,
        "iat": int(issued.timestamp()),
        "exp": int((issued + _LIFETIME).timestamp()),
    }
    assertion: bytes = jwt.encode(signer, claims)  # type: ignore[no-untyped-call]
    return assertion.decode("ascii")
