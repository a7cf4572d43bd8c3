"""The address of a proxy: what is accepted, and what of it may be shown."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass, field
from urllib.parse import SplitResult, urlsplit

from flow2api_common.errors import InvalidArgument

SCHEMES = ("http", "https", "socks5", "socks5h")

_MAX_LENGTH = 2048
_MAX_HOST_LENGTH = 253
_PRINTABLE = re.compile(r"[!-~]+")
_HOST_NAME = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?:\.[a-z0-9_-]{1,63})*\.?")
_PERCENT_ENCODED = re.compile(r"(?:[A-Za-z0-9\-._~!$&'()*+,;=]|%[0-9A-Fa-f]{2})*")


@dataclass(frozen=True, slots=True)
class ProxyAddress:
    """A checked address. ``url`` holds the password and is never shown; two equal addresses have equal urls."""

    url: str = field(repr=False)
    scheme: str
    host: str
    port: int
    has_credentials: bool

    @property
    def shown(self) -> str:
        """The address without user and password."""
        return shown_address(self.scheme, self.host, self.port)


def shown_address(scheme: str, host: str, port: int) -> str:
    """An address without user and password."""
    return f"{scheme}://{_in_url(host)}:{port}"


def proxy_address(text: str, *, field: str = "url") -> ProxyAddress:
    """``scheme://[user:password@]host:port`` checked. Raises InvalidArgument on ``field``, without telling the text."""
    text = text.strip()
    if not text:
        raise InvalidArgument.of(field, "The address of a proxy is required.")
    if len(text) > _MAX_LENGTH or not _PRINTABLE.fullmatch(text):
        raise InvalidArgument.of(field, "The address of a proxy has at most 2048 characters, none of them blank.")
    if "://" not in text:
        raise InvalidArgument.of(field, f"The address of a proxy begins with one of {_schemes()}.")
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        raise InvalidArgument.of(field, "The host or the port of this proxy cannot be read.") from None
    scheme = parts.scheme.lower()
    if scheme not in SCHEMES:
        raise InvalidArgument.of(field, f"The scheme of a proxy is one of {_schemes()}.")
    if not port:
        raise InvalidArgument.of(field, "The address of a proxy needs a port from 1 to 65535.")
    if parts.path not in ("", "/") or parts.query or parts.fragment:
        raise InvalidArgument.of(
            field, "Nothing may follow the port; special characters of user and password are percent-encoded."
        )
    user_info = _user_info(parts, field)
    host = _host(parts, field)
    credentials = f"{user_info}@" if user_info else ""
    return ProxyAddress(
        url=f"{scheme}://{credentials}{_in_url(host)}:{port}",
        scheme=scheme,
        host=host,
        port=port,
        has_credentials=bool(user_info),
    )


def _schemes() -> str:
    return ", ".join(f"{scheme}://" for scheme in SCHEMES)


def _user_info(parts: SplitResult, field: str) -> str:
    user_info, at, _ = parts.netloc.rpartition("@")
    if not at:
        return ""
    user, _, password = user_info.partition(":")
    if not user or not _PERCENT_ENCODED.fullmatch(user) or not _PERCENT_ENCODED.fullmatch(password):
        raise InvalidArgument.of(
            field, "A proxy's login is user:password, with special characters of both percent-encoded."
        )
    return user_info


def _host(parts: SplitResult, field: str) -> str:
    host = (parts.hostname or "").lower()
    try:
        return str(ipaddress.ip_address(host))
    except ValueError:
        pass  # Not an address, so that it has to be a name.
    is_name = len(host) <= _MAX_HOST_LENGTH and _HOST_NAME.fullmatch(host) is not None
    if not is_name or host.replace(".", "").isdigit():
        raise InvalidArgument.of(field, "The host of a proxy is a name or an IP address.")
    return host


def _in_url(host: str) -> str:
    return f"[{host}]" if ":" in host else host
