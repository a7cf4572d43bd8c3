"""Sealing with a passphrase."""

from __future__ import annotations

import base64
import json

import pytest
from argon2.low_level import Type, hash_secret_raw
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from flow2api_common.errors import InvalidArgument
from flow2api_token_service.secrets.passphrase import open_with_passphrase, seal_with_passphrase

PASSPHRASE = "a long passphrase ✓"


async def test_opens_with_its_passphrase_only():
    sealed = await seal_with_passphrase("geheim", PASSPHRASE)

    assert await open_with_passphrase(sealed, PASSPHRASE) == "geheim"
    assert "geheim" not in sealed
    with pytest.raises(InvalidArgument, match="does not open"):
        await open_with_passphrase(sealed, PASSPHRASE + "!")


async def test_format_is_the_documented_one():
    document = json.loads(await seal_with_passphrase("geheim", PASSPHRASE))
    kdf = document["kdf"]
    salt, nonce, ciphertext = (
        base64.b64decode(text) for text in (kdf["salt"], document["nonce"], document["ciphertext"])
    )
    key = hash_secret_raw(
        PASSPHRASE.encode(), salt, kdf["iterations"], kdf["memory_kib"], kdf["parallelism"], 32, Type.ID
    )

    assert AESGCM(key).decrypt(nonce, ciphertext, b"flow2api-tokens/1") == b"geheim"
    assert (document["format"], document["version"], kdf["name"]) == ("flow2api-tokens", 1, "argon2id")


async def test_short_passphrase_is_refused():
    with pytest.raises(InvalidArgument, match="12"):
        await seal_with_passphrase("geheim", "short")


@pytest.mark.parametrize(
    "change",
    [
        {"format": "something"},
        {"version": 2},
        {"nonce": "AAAA"},
        {"ciphertext": "not base64!"},
        {"kdf": {"name": "argon2id", "salt": "AAAAAAAAAAAAAAAA", "memory_kib": 1 << 24}},
        {"kdf": {"name": "argon2id", "salt": "AAAAAAAAAAAAAAAA", "iterations": 1 << 20}},
    ],
)
async def test_foreign_or_costly_document_is_refused(change):
    document = json.loads(await seal_with_passphrase("geheim", PASSPHRASE))

    with pytest.raises(InvalidArgument, match="no export") as caught:
        await open_with_passphrase(json.dumps(document | change), PASSPHRASE)
    assert caught.value.__cause__ is None
