"""Seals secrets for storage and gives fingerprints by which duplicates are found without opening them.

A sealed secret is text: ``v1:<key id>:<base64 of nonce and ciphertext>``. The key id tells which key opens it, so that
keys can be exchanged later without a day on which nothing can be read.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import secrets

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from pydantic import SecretStr

from flow2api_common.errors import InternalError
from flow2api_common.keys import derive_key
from flow2api_token_service.secrets.hash_keys import HashKeyName, HashKeys

SECRET = "secret"  # noqa: S105 - the name of a purpose
BEARER = "bearer"
PROXY = "proxy"

_VERSION = "v1"
_NONCE_BYTES = 12
_KEY_ID_DIGITS = 8
_SHOWN_CHARACTERS = 4
_SHORTEST_SECRET_WITH_HINT = 12


class SealBroken(InternalError):
    """A sealed secret cannot be opened: it was sealed with another key, or was changed."""

    default_reason = "SEAL_BROKEN"


class Vault:
    """AES-256-GCM under a key derived from the installation's secret key; HMAC-SHA256 under a hash key."""

    def __init__(self, secret_key: SecretStr, hash_keys: HashKeys) -> None:
        self._cipher = AESGCM(derive_key(secret_key, "token-service/seal"))
        self._hash_keys = hash_keys
        self._key_id = derive_key(secret_key, "token-service/seal-key-id").hex()[:_KEY_ID_DIGITS]

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

    def fingerprint(self, secret: str, *, purpose: str) -> str:
        """The same for the same secret and purpose, and of no use to anybody who does not know the secret."""
        key = self._hash_keys.get(HashKeyName.FINGERPRINT)
        return hmac.digest(key, f"{purpose}\0{secret}".encode(), "sha256").hex()


def masked(secret: str) -> str:
    """The last characters of a secret, for people to recognise it by; nothing of a short one."""
    if len(secret) < _SHORTEST_SECRET_WITH_HINT:
        return "…"
    return f"…{secret[-_SHOWN_CHARACTERS:]}"
