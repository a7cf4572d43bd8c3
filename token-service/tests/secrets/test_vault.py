"""Sealing, opening, fingerprints."""

from __future__ import annotations

import pytest
from pydantic import SecretStr

from flow2api_common.errors import DependencyUnavailable
from flow2api_token_service.secrets.hash_keys import HashKeys, new_hash_keys
from flow2api_token_service.secrets.vault import SealBroken, Vault, masked

HASH_KEYS = HashKeys(new_hash_keys())
VAULT = Vault(SecretStr("a secret key for tests"), HASH_KEYS)


def test_opens_what_was_sealed():
    sealed = VAULT.seal("geheim ✓", purpose="secret")

    assert VAULT.open(sealed, purpose="secret") == "geheim ✓"
    assert "geheim" not in sealed
    assert sealed != VAULT.seal("geheim ✓", purpose="secret")


def test_other_purpose_does_not_open():
    with pytest.raises(SealBroken):
        VAULT.open(VAULT.seal("s", purpose="secret"), purpose="bearer")


def test_other_key_does_not_open():
    other = Vault(SecretStr("another key for the tests"), HASH_KEYS)

    with pytest.raises(SealBroken, match="another secret key"):
        other.open(VAULT.seal("s", purpose="secret"), purpose="secret")


@pytest.mark.parametrize("broken", ["", "plain", "v1:", "v2:00000000:AAAA"])
def test_what_is_not_sealed_does_not_open(broken):
    with pytest.raises(SealBroken):
        VAULT.open(broken, purpose="secret")


def test_changed_text_does_not_open():
    sealed = VAULT.seal("s", purpose="secret")

    with pytest.raises(SealBroken):
        VAULT.open(sealed[:-4] + "AAAA", purpose="secret")


def test_fingerprints_are_equal_for_equal_secrets_only():
    fingerprint = VAULT.fingerprint("s", purpose="flow")

    assert fingerprint == VAULT.fingerprint("s", purpose="flow")
    assert fingerprint != VAULT.fingerprint("t", purpose="flow")
    assert fingerprint != VAULT.fingerprint("s", purpose="gemini")
    other = Vault(SecretStr("a secret key for tests"), HashKeys(new_hash_keys()))
    assert fingerprint != other.fingerprint("s", purpose="flow")


def test_fingerprints_outlive_the_secret_key():
    other = Vault(SecretStr("another key for the tests"), HASH_KEYS)

    assert other.fingerprint("s", purpose="flow") == VAULT.fingerprint("s", purpose="flow")


def test_nothing_is_hashed_before_the_keys_are_known():
    with pytest.raises(DependencyUnavailable):
        Vault(SecretStr("a secret key for tests"), HashKeys()).fingerprint("s", purpose="flow")


@pytest.mark.parametrize(("secret", "shown"), [("short", "…"), ("a-long-enough-secret", "…cret")])
def test_mask_shows_the_last_characters_of_a_long_secret_only(secret, shown):
    assert masked(secret) == shown
