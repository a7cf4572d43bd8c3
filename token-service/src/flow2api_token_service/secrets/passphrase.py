"""Sealing with a passphrase: argon2id makes the key, AES-256-GCM seals. The format is described in docs/pool.md."""

from __future__ import annotations

import asyncio
import base64
import json
import secrets
from typing import Annotated, Literal

from argon2.low_level import Type, hash_secret_raw
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from pydantic import Base64Bytes, BaseModel, Field, ValidationError

from flow2api_common.errors import InvalidArgument

MIN_PASSPHRASE_LENGTH = 12
MAX_PASSPHRASE_LENGTH = 1024

_FORMAT = "flow2api-tokens"
_VERSION = 1
_ASSOCIATED = f"{_FORMAT}/{_VERSION}".encode()
_SALT_BYTES = 16
_NONCE_BYTES = 12
_KEY_BYTES = 32


class _Kdf(BaseModel):
    """The costs are the second choice of RFC 9106, section 4; what is read is bounded: a stranger may have made it."""

    name: Literal["argon2id"] = "argon2id"
    salt: Annotated[Base64Bytes, Field(min_length=8, max_length=64)]
    iterations: Annotated[int, Field(ge=1, le=10)] = 3
    memory_kib: Annotated[int, Field(ge=8 * 8, le=256 * 1024)] = 64 * 1024
    parallelism: Annotated[int, Field(ge=1, le=8)] = 4


class _Sealed(BaseModel):
    format: Literal["flow2api-tokens"]
    version: Literal[1]
    kdf: _Kdf
    cipher: Literal["AES-256-GCM"]
    nonce: Annotated[Base64Bytes, Field(min_length=_NONCE_BYTES, max_length=_NONCE_BYTES)]
    ciphertext: Base64Bytes


async def seal_with_passphrase(text: str, passphrase: str) -> str:
    """A JSON document that opens with the passphrase only. Raises InvalidArgument when that is too short."""
    if not MIN_PASSPHRASE_LENGTH <= len(passphrase) <= MAX_PASSPHRASE_LENGTH:
        allowed = f"{MIN_PASSPHRASE_LENGTH} to {MAX_PASSPHRASE_LENGTH} characters"
        raise InvalidArgument.of("passphrase", f"A passphrase has {allowed}.")
    kdf = _Kdf(salt=base64.b64encode(secrets.token_bytes(_SALT_BYTES)))
    key = await asyncio.to_thread(_key, kdf, passphrase)
    nonce = secrets.token_bytes(_NONCE_BYTES)
    document = {
        "format": _FORMAT,
        "version": _VERSION,
        "kdf": {**kdf.model_dump(exclude={"salt"}), "salt": _base64(kdf.salt)},
        "cipher": "AES-256-GCM",
        "nonce": _base64(nonce),
        "ciphertext": _base64(AESGCM(key).encrypt(nonce, text.encode(), _ASSOCIATED)),
    }
    return json.dumps(document)


async def open_with_passphrase(document: str, passphrase: str) -> str:
    """The text. Raises InvalidArgument when the document is none of ours, or the passphrase does not open it."""
    try:
        sealed = _Sealed.model_validate_json(document)
    except ValidationError:
        # The cause quotes the document.
        raise InvalidArgument.of("sealed", "This is no export of tokens that can be read.") from None
    key = await asyncio.to_thread(_key, sealed.kdf, passphrase[:MAX_PASSPHRASE_LENGTH])
    try:
        return AESGCM(key).decrypt(sealed.nonce, sealed.ciphertext, _ASSOCIATED).decode()
    except InvalidTag as exc:
        raise InvalidArgument.of("passphrase", "The passphrase does not open this export.") from exc


def _key(kdf: _Kdf, passphrase: str) -> bytes:
    return hash_secret_raw(
        passphrase.encode(),
        kdf.salt,
        time_cost=kdf.iterations,
        memory_cost=kdf.memory_kib,
        parallelism=kdf.parallelism,
        hash_len=_KEY_BYTES,
        type=Type.ID,
    )


def _base64(raw: bytes) -> str:
    return base64.b64encode(raw).decode()
