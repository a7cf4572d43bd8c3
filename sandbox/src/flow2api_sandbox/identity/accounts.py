"""Service accounts with their keys, and users. Source: docs/upstream/google-official.md, section 3."""

import secrets
from dataclasses import dataclass, field
from enum import StrEnum

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from flow2api_sandbox.credentials import Credential

_KEY_BITS = 2048
_made_keys: list[rsa.RSAPrivateKey] = []


class AccountState(StrEnum):
    """What the token endpoint makes of an account."""

    OK = "ok"
    DISABLED = "disabled"
    DELETED = "deleted"


@dataclass(frozen=True, slots=True)
class SigningKey:
    """One key of a service account; the sandbox keeps the public half alone."""

    key_id: str
    public_key: rsa.RSAPublicKey


@dataclass(slots=True, kw_only=True)
class ServiceAccount(Credential):
    """A service account; ``name`` is its e-mail address.

    ``projects`` are those in which it has ``roles/aiplatform.user`` and may read and write buckets.
    """

    project: str
    state: AccountState = AccountState.OK
    projects: set[str] = field(default_factory=set)
    keys: dict[str, SigningKey] = field(default_factory=dict)

    @property
    def email(self) -> str:
        """The e-mail address."""
        return self.name


@dataclass(slots=True, kw_only=True)
class User(Credential):
    """A person who lent a refresh token to a client (``authorized_user``); ``name`` is the e-mail address."""

    client_id: str
    client_secret: str = field(repr=False)
    refresh_token: str = field(repr=False)
    state: AccountState = AccountState.OK
    projects: set[str] = field(default_factory=set)


Principal = ServiceAccount | User


def read_public_key(pem: str) -> rsa.RSAPublicKey:
    """The RSA key of a PEM text. Raises ValueError for anything else."""
    key = serialization.load_pem_public_key(pem.encode())
    if isinstance(key, rsa.RSAPublicKey):
        return key
    raise ValueError("the public key is no RSA key")


def new_key_id() -> str:
    """An id as Google gives to keys of service accounts."""
    return secrets.token_hex(20)


def generated_private_key(number: int) -> rsa.RSAPrivateKey:
    """The private key of that number. One per number and process, because making one takes a tenth of a second."""
    while len(_made_keys) <= number:
        _made_keys.append(rsa.generate_private_key(public_exponent=65537, key_size=_KEY_BITS))
    return _made_keys[number]


def private_key_pem(key: rsa.RSAPrivateKey) -> str:
    """PKCS#8 PEM, as in a key file."""
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
