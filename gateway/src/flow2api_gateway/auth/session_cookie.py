"""The administrator's session as a cookie, for pages in a browser, and the proof that such a page is ours.

A browser sends the cookie with every request to ``/admin``, whoever made it; so a request that changes something must
also carry a token that only a page of this origin can have read, and come from this origin by what the browser says of
it. Requests with a bearer need neither: nobody can make a browser send one. Source: OWASP, "Cross-Site Request Forgery
Prevention Cheat Sheet"; W3C, "Fetch Metadata Request Headers".
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from datetime import UTC, datetime, timedelta
from typing import Final
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import Response

from flow2api_common.clock import Clock, utc_now
from flow2api_common.errors import PermissionDenied
from flow2api_gateway.auth.bearer import bearer_of

KEY_PURPOSE: Final = "gateway/csrf-tokens"
COOKIE: Final = "flow2api_session"
CSRF_HEADER: Final = "x-csrf-token"
_PATH: Final = "/admin"
_SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_TOKEN_BYTES: Final = 24


class SessionCookies:
    """Sets, clears and believes the cookie. ``base_url`` is where browsers reach the gateway."""

    def __init__(self, *, key: bytes, base_url: str, clock: Clock = utc_now) -> None:
        self._key = key
        self._origin = _origin_of(base_url)
        self._is_https = base_url.startswith("https://")
        self._clock = clock

    def session_token_of(self, request: Request) -> str:
        """The session of a request: its bearer, else the cookie; empty when there is neither.

        Raises PermissionDenied CSRF_REFUSED when the cookie comes with a request that would change something and
        nothing shows that a page of ours has made it.
        """
        if "authorization" in request.headers:
            return bearer_of(request)
        session_token = request.cookies.get(COOKIE, "")
        if session_token and request.method not in _SAFE_METHODS:
            self.check_origin(request)
            given = request.headers.get(CSRF_HEADER, "").encode()
            if not hmac.compare_digest(given, self.csrf_token_of(session_token).encode()):
                raise _refused(f"Send the token of the session in the header '{CSRF_HEADER}'.")
        return session_token

    def is_by_cookie(self, request: Request) -> bool:
        """Whether the session of the request is that of its cookie."""
        return "authorization" not in request.headers and COOKIE in request.cookies

    def check_origin(self, request: Request) -> None:
        """Raises PermissionDenied CSRF_REFUSED unless the browser says that the request is from a page of ours."""
        site = request.headers.get("sec-fetch-site")
        origin = request.headers.get("origin")
        if site is None and origin is None:
            raise _refused("A request with the cookie needs the header 'Origin' or 'Sec-Fetch-Site'.")
        if site is not None and site != "same-origin":
            raise _refused("The request comes from another site.")
        # Behind a proxy the address that browsers know may be the public one alone, or the one that they ask.
        own = {self._origin, f"{request.url.scheme}://{request.headers.get('host', '')}".lower()}
        if origin is not None and origin.lower() not in own:
            raise _refused("The request comes from another site.")

    def csrf_token_of(self, session_token: str) -> str:
        """What proves that a page has read an answer to this session. The same as long as the session lives."""
        digest = hmac.digest(self._key, session_token.encode(), hashlib.sha256)[:_TOKEN_BYTES]
        return base64.urlsafe_b64encode(digest).decode("ascii")

    def set(self, response: Response, session_token: str, expire_time: datetime | None) -> None:
        """Give the browser the session: no script can read it, and no other site can send it along."""
        left = expire_time.astimezone(UTC) - self._clock() if expire_time is not None else None
        response.set_cookie(
            COOKIE,
            session_token,
            max_age=max(0, left // timedelta(seconds=1)) if left is not None else None,
            path=_PATH,
            secure=self._is_https,
            httponly=True,
            samesite="strict",
        )

    def clear(self, response: Response) -> None:
        """Take it back."""
        response.delete_cookie(COOKIE, path=_PATH, secure=self._is_https, httponly=True, samesite="strict")


def _origin_of(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}".lower()


def _refused(message: str) -> PermissionDenied:
    return PermissionDenied(message, reason="CSRF_REFUSED")
