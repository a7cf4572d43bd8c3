"""Key material for one purpose each, from the one secret of the installation."""

from __future__ import annotations

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from pydantic import SecretStr

_SALT = b"flow2api"


def derive_key(secret: SecretStr, purpose: str, length: int = 32) -> bytes:
    """``length`` bytes that only this secret and this purpose give, e.g. ``derive_key(secret, "media-links")``.

    The same arguments always give the same bytes, on every replica. Source: HKDF-SHA256, RFC 5869.
    """
    derivation = HKDF(algorithm=SHA256(), length=length, salt=_SALT, info=purpose.encode())
    return derivation.derive(secret.get_secret_value().encode())
