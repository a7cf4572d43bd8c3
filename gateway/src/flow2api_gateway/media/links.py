"""Links to stored files that carry their own permission: a signature over what they open and until when."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final
from urllib.parse import parse_qs, urlsplit

from flow2api_common.clock import Clock, utc_now
from flow2api_common.errors import PermissionDenied

KEY_PURPOSE: Final = "gateway/media-links"
_PATH: Final = "/media/"
_ID = re.compile(r"[a-z0-9_]{1,100}")
_SIGNATURE_BYTES: Final = 24


@dataclass(frozen=True, slots=True)
class MediaLink:
    """What a link says, before it is believed. ``variant`` names a conversion such as ``webp-80``; mostly empty."""

    media_id: str
    expires: str
    variant: str
    signature: str


class MediaLinks:
    """Makes and checks links. ``base_url`` is where clients reach the gateway."""

    def __init__(self, *, key: bytes, base_url: str, lifetime: timedelta, clock: Clock = utc_now) -> None:
        self._key = key
        self._lifetime = lifetime
        self._clock = clock
        self.base_url = base_url.rstrip("/")

    def url_of(self, media_id: str, *, expire_time: datetime | None = None, variant: str = "") -> str:
        """An absolute link that opens the file without a key, until the file goes or the lifetime of links is over."""
        until = self._clock() + self._lifetime
        if expire_time is not None:
            until = min(until, expire_time)
        expires = str(int(until.timestamp()))
        query = f"exp={expires}&sig={self._signature(media_id, expires, variant)}"
        if variant:
            query += f"&as={variant}"
        return f"{self.base_url}{_PATH}{media_id}?{query}"

    def check(self, link: MediaLink) -> None:
        """Raises PermissionDenied: LINK_INVALID when anything was changed, LINK_EXPIRED when it was good once."""
        if not self._is_genuine(link):
            raise PermissionDenied("The link is not valid.", reason="LINK_INVALID")
        if datetime.fromtimestamp(int(link.expires), UTC) <= self._clock():
            raise PermissionDenied("The link has expired.", reason="LINK_EXPIRED")

    def own_media_id(self, url: str) -> str | None:
        """The file that one of our own links names, or nothing for any other URL.

        An expired link still names its file: it is read here on behalf of a key holder, not opened to strangers. The
        host is not looked at: the signature proves whose link it is, and links live on when the public URL changes.
        """
        try:
            parts = urlsplit(url)
        except ValueError:
            return None
        _, found, media_id = parts.path.rpartition(_PATH)
        if not found or not _ID.fullmatch(media_id):
            return None
        query = parse_qs(parts.query)
        link = MediaLink(
            media_id=media_id,
            expires=query.get("exp", [""])[0],
            variant=query.get("as", [""])[0],
            signature=query.get("sig", [""])[0],
        )
        return media_id if self._is_genuine(link) else None

    def is_on_our_host(self, url: str) -> bool:
        """Whether a URL leads to this gateway, so that fetching it would be a call of ourselves."""
        return url.startswith(f"{self.base_url}/")

    def _is_genuine(self, link: MediaLink) -> bool:
        if not link.expires.isascii() or not link.expires.isdigit() or len(link.expires) > 12:
            return False
        expected = self._signature(link.media_id, link.expires, link.variant)
        return hmac.compare_digest(expected.encode(), link.signature.encode())

    def _signature(self, media_id: str, expires: str, variant: str) -> str:
        text = f"{media_id}\n{expires}\n{variant}".encode()
        digest = hmac.new(self._key, text, hashlib.sha256).digest()
        return base64.urlsafe_b64encode(digest[:_SIGNATURE_BYTES]).decode("ascii")
