"""The keys of hashes: they outlive the secret key, because what was hashed cannot be hashed again."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from enum import StrEnum

from pydantic import SecretStr

from flow2api_common.errors import DependencyUnavailable
from flow2api_common.keys import derive_key

_KEY_BYTES = 32


class HashKeyName(StrEnum):
    """What is hashed: the secrets of tokens, to find duplicates; API keys, sessions and login names."""

    FINGERPRINT = "fingerprint"
    ACCESS = "access"


class HashKeys:
    """The keys, known once they were read from SQL. Never logged, and not in its own repr."""

    def __init__(self, keys: Mapping[HashKeyName, bytes] | None = None) -> None:
        self._keys: dict[HashKeyName, bytes] = dict(keys or {})

    def put(self, keys: Mapping[HashKeyName, bytes]) -> None:
        """Make them known."""
        self._keys.update(keys)

    def get(self, name: HashKeyName) -> bytes:
        """One key. Raises DependencyUnavailable while the keys are not known."""
        key = self._keys.get(name)
        if key is None:
            raise DependencyUnavailable("The service is starting.")
        return key


def new_hash_keys() -> dict[HashKeyName, bytes]:
    """Random keys, for an installation that has hashed nothing yet."""
    return {name: secrets.token_bytes(_KEY_BYTES) for name in HashKeyName}


def derived_hash_keys(secret_key: SecretStr) -> dict[HashKeyName, bytes]:
    """The keys of an installation from before they were kept: they followed from the secret key."""
    return {name: derive_key(secret_key, f"token-service/{name}") for name in HashKeyName}
