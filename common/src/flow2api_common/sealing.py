"""Secrets at rest: sealed before they are stored, and sealed anew when the secret key is exchanged.

A sealed secret is text: ``v1:<key id>:<base64 of nonce and ciphertext>``. The key id tells which key opens it, so that
keys can be exchanged later without a day on which nothing can be read.
"""

from __future__ import annotations

import base64
import binascii
import secrets

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from pydantic import SecretStr

from flow2api_common.errors import FailedPrecondition, InternalError
from flow2api_common.keys import derive_key

_VERSION = "v1"
_NONCE_BYTES = 12
_KEY_ID_DIGITS = 8
_SHOWN_CHARACTERS = 4
_SHORTEST_SECRET_WITH_HINT = 12


class SealBroken(InternalError):
    """A sealed secret cannot be opened: it was sealed with another key, or was changed."""

    default_reason = "SEAL_BROKEN"


class RotationRefused(FailedPrecondition):
    """A stored secret opens with neither key; nothing was changed."""

    default_reason = "ROTATION_REFUSED"


class Seal:
    """AES-256-GCM under a key derived from the installation's secret key, another one for each ``owner``."""

    def __init__(self, secret_key: SecretStr, *, owner: str) -> None:
        self._cipher = AESGCM(derive_key(secret_key, f"{owner}/seal"))
        self._key_id = derive_key(secret_key, f"{owner}/seal-key-id").hex()[:_KEY_ID_DIGITS]

    def seal(self, secret: str, *, purpose: str) -> str:
        """Encrypt; it opens only with the same ``purpose``. Sealing twice gives two different texts."""
        nonce = secrets.token_bytes(_NONCE_BYTES)
        ciphertext = self._cipher.encrypt(nonce, secret.encode(), purpose.encode())
        return f"{_VERSION}:{self._key_id}:{base64.b64encode(nonce + ciphertext).decode()}"

    def has_sealed(self, sealed: str) -> bool:
        """Whether a sealed secret says that it was sealed with this key."""
        return sealed.startswith(f"{_VERSION}:{self._key_id}:")

    def open(self, sealed: str, *, purpose: str) -> str:
        """Decrypt. Raises SealBroken."""
        version, _, rest = sealed.partition(":")
        key_id, _, body = rest.partition(":")
        if version != _VERSION or key_id != self._key_id:
            raise SealBroken("A stored secret was sealed with another secret key.")
        try:
            raw = base64.b64decode(body, validate=True)
            return self._cipher.decrypt(raw[:_NONCE_BYTES], raw[_NONCE_BYTES:], purpose.encode()).decode()
        except (binascii.Error, InvalidTag, ValueError) as exc:
            raise SealBroken("A stored secret cannot be opened.") from exc


class Resealing:
    """Opens sealed secrets with the old key and seals them with the new one, counting them; safe to repeat."""

    def __init__(self, old: Seal, new: Seal) -> None:
        self._old, self._new = old, new
        self.resealed_count = 0
        self.known_count = 0

    def sealed_anew(self, sealed: str, purpose: str, *, what: str) -> str:
        """The same secret under the new key; what was under it already stays. Raises RotationRefused."""
        try:
            if self._new.has_sealed(sealed):
                self._new.open(sealed, purpose=purpose)
                self.known_count += 1
                return sealed
            secret = self._old.open(sealed, purpose=purpose)
        except SealBroken as exc:
            raise RotationRefused(f"Neither key opens {what}; nothing was changed.") from exc
        self.resealed_count += 1
        return self._new.seal(secret, purpose=purpose)


def masked(secret: str) -> str:
    """The last characters of a secret, for people to recognise it by; nothing of a short one."""
    if len(secret) < _SHORTEST_SECRET_WITH_HINT:
        return "…"
    return f"…{secret[-_SHOWN_CHARACTERS:]}"
