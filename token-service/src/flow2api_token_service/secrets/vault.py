"""Seals secrets for storage and gives fingerprints by which duplicates are found without opening them."""

from __future__ import annotations

import hmac

from pydantic import SecretStr

from flow2api_common.sealing import Seal, SealBroken, masked
from flow2api_token_service.secrets.hash_keys import HashKeyName, HashKeys

__all__ = ["BEARER", "PROXY", "SECRET", "SealBroken", "Vault", "masked"]

SECRET = "secret"  # noqa: S105 - the name of a purpose
BEARER = "bearer"
PROXY = "proxy"


class Vault(Seal):
    """What the token service seals with; HMAC-SHA256 under a hash key beside it."""

    def __init__(self, secret_key: SecretStr, hash_keys: HashKeys) -> None:
        super().__init__(secret_key, owner="token-service")
        self._hash_keys = hash_keys

    def fingerprint(self, secret: str, *, purpose: str) -> str:
        """The same for the same secret and purpose, and of no use to anybody who does not know the secret."""
        key = self._hash_keys.get(HashKeyName.FINGERPRINT)
        return hmac.digest(key, f"{purpose}\0{secret}".encode(), "sha256").hex()
