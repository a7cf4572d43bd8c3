"""What a client would prefer, without insisting. Source: RFC 7240, sections 2 and 4.1 to 4.3."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from starlette.requests import Request

_PREFERENCE: Final = re.compile(
    r"""\s*(?P<name>[!#$%&'*+.^_`|~0-9A-Za-z-]+)           # a token
        (?:\s*=\s*(?:"(?P<quoted>(?:[^"\\]|\\.)*)"|(?P<value>[^\s,;"]*)))?
        (?:\s*;(?:[^",]|"(?:[^"\\]|\\.)*")*)?              # parameters, of which we know none
        \s*(?:,|$)""",
    re.VERBOSE,
)
_LONGEST_HEADER: Final = 1000
_MOST_DIGITS: Final = 9


@dataclass(frozen=True, slots=True)
class Preferences:
    """``is_async``: an answer now, to look for the result later. ``wait``: for so long it may wait for the result."""

    is_async: bool = False
    wait: timedelta | None = None


def preferences_of(request: Request) -> Preferences:
    """The preferences of a request that we know; what cannot be read is no preference."""
    header = ",".join(request.headers.getlist("prefer"))[:_LONGEST_HEADER]
    found: dict[str, str] = {}
    position = 0
    while position < len(header):
        preference = _PREFERENCE.match(header, position)
        if preference is None:
            # An empty element, or one that cannot be read: the next one may be known.
            position = (header.find(",", position) + 1) or len(header)
            continue
        value = preference["quoted"] if preference["quoted"] is not None else preference["value"]
        # The first of several with one name counts.
        found.setdefault(preference["name"].lower(), value or "")
        position = preference.end()
    wait = found.get("wait", "")
    is_number = wait.isascii() and wait.isdigit() and len(wait) <= _MOST_DIGITS
    return Preferences("respond-async" in found, timedelta(seconds=int(wait)) if is_number else None)
