"""The JWT by which a service account asks for an access token, checked to the letter.

Source: docs/upstream/google-official.md, section 3. Refusals are in the words that Google's is known for.
"""

from dataclasses import dataclass
from typing import Literal

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from pydantic import BaseModel, ConfigDict, ValidationError

from flow2api_sandbox.errors import ApiError
from flow2api_sandbox.identity.accounts import AccountState, ServiceAccount
from flow2api_sandbox.identity.store import IdentityStore
from flow2api_sandbox.wire import decode_base64

AUDIENCE = "https://oauth2.googleapis.com/token"
LONGEST_SECONDS = 3600
CLOUD_PLATFORM = "https://www.googleapis.com/auth/cloud-platform"
KNOWN_SCOPES = frozenset(
    {CLOUD_PLATFORM, "openid", "email", "profile"}
    | {
        f"https://www.googleapis.com/auth/{name}"
        for name in (
            "cloud-platform.read-only",
            "devstorage.full_control",
            "devstorage.read_only",
            "devstorage.read_write",
            "generative-language",
            "userinfo.email",
            "userinfo.profile",
        )
    }
)
_SIGNATURE = "Invalid JWT Signature."
_TIME = (
    "Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable timeframe. Check your iat and exp"
    " values in the JWT claim."
)


def refused(error: str, description: str, *, status: int = 400) -> ApiError:
    """The token endpoint says no: OAuth's word and an explanation."""
    return ApiError(status, description, reason=error)


class _Header(BaseModel):
    model_config = ConfigDict(extra="ignore", strict=True)

    alg: Literal["RS256"]
    typ: Literal["JWT"] | None = None
    kid: str | None = None


class _Claims(BaseModel):
    model_config = ConfigDict(extra="ignore", strict=True)

    iss: str
    aud: str
    iat: int | float
    exp: int | float
    scope: str = ""
    sub: str | None = None


@dataclass(frozen=True, slots=True)
class Assertion:
    """A checked assertion."""

    account: ServiceAccount
    scopes: frozenset[str]


def check_assertion(jwt: str, store: IdentityStore) -> Assertion:
    """Who asks for what. Raises ApiError."""
    header, claims, signed, signature = _parse(jwt)
    account = _require_account(store, claims)
    _check_signature(account, header, signed, signature)
    if claims.aud != AUDIENCE:
        raise refused("invalid_grant", f"Invalid JWT: Failed audience check. The right audience is {AUDIENCE}")
    _check_times(claims, store.judged_time())
    if claims.sub is not None and claims.sub != claims.iss:
        raise refused(
            "unauthorized_client",
            "Client is unauthorized to retrieve access tokens using this method, or client not authorized for any of"
            " the scopes requested.",
            status=401,
        )
    return Assertion(account, read_scopes(claims.scope))


def read_scopes(text: str) -> frozenset[str]:
    """Scopes that exist. Raises ApiError ``invalid_scope``."""
    scopes = frozenset(text.split())
    if not scopes:
        raise refused("invalid_scope", "Empty or missing scope not allowed.")
    if not scopes <= KNOWN_SCOPES:
        raise refused("invalid_scope", "Invalid OAuth scope or ID token audience provided.")
    return scopes


def _parse(jwt: str) -> tuple[_Header, _Claims, bytes, bytes]:
    parts = jwt.split(".")
    if len(parts) != 3:
        raise refused("invalid_grant", "Invalid JWT: a JWT has three parts.")
    try:
        header = _Header.model_validate_json(_decode(parts[0]))
        claims = _Claims.model_validate_json(_decode(parts[1]))
        signature = _decode(parts[2])
    except ValidationError as exc:
        field = ".".join(str(part) for part in exc.errors()[0]["loc"])
        raise refused("invalid_grant", f"Invalid JWT: {field}: {exc.errors()[0]['msg']}") from exc
    except ValueError as exc:
        raise refused("invalid_grant", f"Invalid JWT: {exc}") from exc
    return header, claims, f"{parts[0]}.{parts[1]}".encode(), signature


def _decode(part: str) -> bytes:
    if set(part) & set("+/="):
        raise ValueError("a part is not base64url")
    return decode_base64(part, url_safe_too=True)


def _require_account(store: IdentityStore, claims: _Claims) -> ServiceAccount:
    account = store.service_accounts.get(claims.iss)
    if account is None or account.state is AccountState.DELETED:
        raise refused("invalid_grant", "Invalid grant: account not found")
    if account.state is AccountState.DISABLED:
        raise refused("invalid_grant", "Robot is disabled.")
    return account


def _check_signature(account: ServiceAccount, header: _Header, signed: bytes, signature: bytes) -> None:
    key = account.keys.get(header.kid) if header.kid is not None else None
    candidates = [key] if key is not None else [] if header.kid is not None else list(account.keys.values())
    for each in candidates:
        try:
            each.public_key.verify(signature, signed, padding.PKCS1v15(), hashes.SHA256())
        except InvalidSignature:
            continue
        return
    # A revoked key gets the same answer: its public half is no longer known.
    raise refused("invalid_grant", _SIGNATURE)


def _check_times(claims: _Claims, now: float) -> None:
    is_short = 0 < claims.exp - claims.iat <= LONGEST_SECONDS
    if not is_short or claims.iat > now or claims.exp <= now:
        raise refused("invalid_grant", _TIME)
