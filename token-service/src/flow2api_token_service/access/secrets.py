"""Secrets that this service makes, and the hashes under which it knows them again."""

from __future__ import annotations

import hmac
import secrets

from flow2api_token_service.secrets.hash_keys import HashKeyName, HashKeys

_API_KEY_PREFIX = "sk-f2a-"
_RANDOM_BYTES = 32
_SHOWN_CHARACTERS = 10


class SecretHasher:
    """Keyed HMAC-SHA256.

    The secrets have 256 random bits (or are the operator's own choice), so that a slow hash would cost time on every
    request and gain nothing; the key keeps a stolen table useless. Looking a hash up in an index tells a stranger
    nothing by its time: without the key he cannot make hashes of his choice.
    """

    def __init__(self, hash_keys: HashKeys) -> None:
        self._hash_keys = hash_keys

    def hash(self, secret: str, *, purpose: str) -> str:
        """The hash of a secret used for a purpose."""
        return hmac.digest(self._hash_keys.get(HashKeyName.ACCESS), f"{purpose}\0{secret}".encode(), "sha256").hex()


def new_api_key() -> str:
    """A new API key."""
    return _API_KEY_PREFIX + secrets.token_urlsafe(_RANDOM_BYTES)


def new_session_token() -> str:
    """A new bearer of an administrator's session."""
    return secrets.token_urlsafe(_RANDOM_BYTES)


def shown_prefix(api_key: str) -> str:
    """The first characters of a key, for people to recognise it by; never more than a third of it."""
    return api_key[: min(_SHOWN_CHARACTERS, len(api_key) // 3)]
