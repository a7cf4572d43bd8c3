"""Passwords of administrators: argon2id, off the event loop."""

from __future__ import annotations

import asyncio

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from argon2.low_level import Type, hash_secret_raw

from flow2api_common.errors import InvalidArgument
from flow2api_token_service.settings import MIN_PASSWORD_LENGTH

_CONCURRENCY = 2
"""Hashes at the same time: each takes 64 MiB and a core for some tens of milliseconds."""


_MAX_LENGTH = 1024


def check_password(field: str, password: str) -> None:
    """Raises InvalidArgument naming the field when nobody may choose this password."""
    if not MIN_PASSWORD_LENGTH <= len(password) <= _MAX_LENGTH:
        raise InvalidArgument.of(field, f"A password has {MIN_PASSWORD_LENGTH} to {_MAX_LENGTH} characters.")


class Passwords:
    """Hashes and checks passwords. Belongs to one event loop."""

    def __init__(self) -> None:
        self._hasher = PasswordHasher()
        self._slots = asyncio.Semaphore(_CONCURRENCY)
        self._nobody: str | None = None

    async def hash(self, password: str) -> str:
        """The hash to store."""
        async with self._slots:
            return await asyncio.to_thread(self._hasher.hash, password)

    async def fingerprint(self, password: str, *, salt: bytes) -> str:
        """64 hexadecimal digits, always the same for the same password and salt, and as slow to guess as `hash`."""
        async with self._slots:
            return await asyncio.to_thread(self._fingerprint, password, salt)

    async def matches(self, password_hash: str | None, password: str) -> bool:
        """Whether the password is right. Without a hash (no such administrator) it takes as long, and is not."""
        if password_hash is None:
            if self._nobody is None:
                self._nobody = await self.hash("")
            await self._verify(self._nobody, f"{password}!")
            return False
        return await self._verify(password_hash, password)

    def _fingerprint(self, password: str, salt: bytes) -> str:
        hasher = self._hasher
        costs = (hasher.time_cost, hasher.memory_cost, hasher.parallelism)
        return hash_secret_raw(password.encode(), salt, *costs, hash_len=32, type=Type.ID).hex()

    async def _verify(self, password_hash: str, password: str) -> bool:
        async with self._slots:
            try:
                return await asyncio.to_thread(self._hasher.verify, password_hash, password)
            except (VerificationError, InvalidHashError):
                return False
