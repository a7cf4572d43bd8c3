"""The session cookie, whole or in the numbered pieces that NextAuth cuts long values into.

Source: docs/upstream/flow.md, section 2 (renewed cookies).
"""

from collections.abc import Sequence
from http.cookies import CookieError, SimpleCookie

COOKIE_NAME = "__Secure-next-auth.session-token"
_PIECE_LENGTH = 3933


def session_cookie_header(session_token: str) -> str:
    """The ``cookie`` header for a session token."""
    if len(session_token) <= _PIECE_LENGTH:
        return f"{COOKIE_NAME}={session_token}"
    starts = range(0, len(session_token), _PIECE_LENGTH)
    pieces = [session_token[start : start + _PIECE_LENGTH] for start in starts]
    return "; ".join(f"{COOKIE_NAME}.{number}={piece}" for number, piece in enumerate(pieces))


def renewed_session_token(set_cookies: Sequence[str], current: str) -> str | None:
    """The session token that the answer sets, None when it sets none or the one in use. Deletions do not count."""
    pieces: dict[int, str] = {}
    for header in set_cookies:
        name, value = _cookie_of(header)
        if name == COOKIE_NAME:
            pieces = {0: value} if value else pieces
        elif name.startswith(f"{COOKIE_NAME}.") and name.removeprefix(f"{COOKIE_NAME}.").isdigit() and value:
            pieces[int(name.rpartition(".")[2])] = value
    if sorted(pieces) != list(range(len(pieces))):
        return None  # A piece is lacking: what is left is no token.
    token = "".join(pieces[number] for number in sorted(pieces))
    return token if token and token != current else None


def _cookie_of(header: str) -> tuple[str, str]:
    try:
        cookies = SimpleCookie(header)
    except CookieError:
        return "", ""
    for name, morsel in cookies.items():
        return name, "" if morsel["max-age"] == "0" else morsel.value
    return "", ""
