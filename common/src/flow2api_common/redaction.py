"""Taking secrets out of texts and log entries."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from pydantic import SecretBytes, SecretStr

REDACTED = "[redacted]"

_SECRET_NAME = re.compile(
    r"(?:^|[_\-.])(?:st|at|token|password|passwd|passphrase|secret|authorization|cookie|cookies|set_cookie|api_?key|apikey"
    r"|credential|credentials|private_?key|secret_?key|service_?account|bearer|signature|x-goog-api-key|access_?key)$",
    re.IGNORECASE,
)

_QUOTE = r"[\"']"

_PATTERNS: tuple[tuple[re.Pattern[str], str], ...] = (
    # A URL with credentials: only the host stays. First, so that no later pattern cuts it in two. The scheme is
    # bounded, lest each letter of a long word begins a search to its end.
    (re.compile(r"([A-Za-z][A-Za-z0-9+.\-]{0,30}://)[^/\s@'\"<>]+@"), rf"\1{REDACTED}@"),
    # The session cookie of docs/upstream/flow.md, section 1, whole or in its numbered parts.
    (re.compile(r"(next-auth\.session-token(?:\.\d+)?\s*[=:]\s*)[^;\s,'\"]+", re.IGNORECASE), rf"\1{REDACTED}"),
    (re.compile(r"\b(Bearer\s+)[A-Za-z0-9._~+/=\-]+", re.IGNORECASE), rf"\1{REDACTED}"),
    (re.compile(r"\b(Authorization['\"]?\s*[:=]\s*['\"]?Basic\s+)[\w+/=\-]+", re.IGNORECASE), rf"\1{REDACTED}"),
    # Google's access tokens, its two forms of API key.
    (re.compile(r"\bya29\.[A-Za-z0-9._\-]+"), REDACTED),
    (re.compile(r"\bAIza[A-Za-z0-9_\-]{6,}"), REDACTED),
    (re.compile(r"\bAQ\.[A-Za-z0-9_\-]{6,}"), REDACTED),
    # Our own API keys, webhook secrets.
    (re.compile(r"(?<![A-Za-z0-9_\-])sk-[A-Za-z0-9_\-]{6,}"), REDACTED),
    (re.compile(r"\bwhsec_[A-Za-z0-9+/=_\-]+"), REDACTED),
    # JWT and JWE: a base64url JSON object, then two to four more parts.
    (re.compile(r"\beyJ[A-Za-z0-9_\-]{8,}(?:\.[A-Za-z0-9_\-]*){2,4}"), REDACTED),
    (re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.DOTALL), REDACTED),
    # Query parameters and JSON members whose name says what they are.
    (
        re.compile(
            r"([?&](?:key|api_key|access_token|token|sig|signature|X-Amz-(?:Signature|Credential|Security-Token))=)"
            r"[^&\s'\"#]+",
            re.IGNORECASE,
        ),
        rf"\1{REDACTED}",
    ),
    (
        re.compile(
            rf"({_QUOTE}(?:access_?token|session_?token|refresh_?token|id_?token|api_?key|password|secret|private_?key"
            rf"|st|at){_QUOTE}\s*:\s*{_QUOTE})[^\"']+",
            re.IGNORECASE,
        ),
        rf"\1{REDACTED}",
    ),
)


def redact(text: str) -> str:
    """The same text without what looks like a secret; harmless to call twice.

    It knows Google's access tokens and API keys, our API keys, session cookies, bearer headers, JWTs, private keys, and
    credentials in URLs.
    """
    for pattern, replacement in _PATTERNS:
        text = pattern.sub(replacement, text)
    return text


def is_secret_name(name: str) -> bool:
    """Whether a field of this name holds a secret: ``st``, ``api_key``, ``Authorization``; not ``token_id``."""
    return _SECRET_NAME.search(name) is not None


def redact_value(value: Any) -> Any:
    """The same value with every text in it redacted, and every member of a mapping masked whose name says secret."""
    match value:
        case str():
            return redact(value)
        case bytes() | bytearray():
            return f"<{len(value)} bytes>"
        case SecretStr() | SecretBytes():
            return REDACTED
        case Mapping():
            return {key: redact_field(str(key), member) for key, member in value.items()}
        case list() | tuple() | set() | frozenset():
            return [redact_value(member) for member in value]
        case None | bool() | int() | float():
            return value
        case _:
            return redact(str(value))


def redact_field(name: str, value: Any) -> Any:
    """The value of a named field: masked whole when the name says secret, else as `redact_value`."""
    if value is None or value == "" or isinstance(value, bool):
        return value
    return REDACTED if is_secret_name(name) else redact_value(value)
