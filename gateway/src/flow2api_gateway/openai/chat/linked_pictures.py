"""The picture that a text shows last, as Markdown writes it: ``![alt](url "title")``.

In time that grows with the text alone: it comes from whoever has a key, and is megabytes when pictures are inside it.
"""

from __future__ import annotations

import re
from typing import Final

_OPENING: Final = "!["
_MIDDLE: Final = "]("
_URL: Final = re.compile(r"\s{0,100}<?(?P<url>(?:https?://|data:image/|/media/)[^\s)>]+)")
_LONGEST_ALT: Final = 4000
_MOST_LINKS: Final = 1000


def last_linked_picture(text: str) -> str | None:
    """The URL of the last picture, among the last thousand links; none when there is none."""
    after, closing = len(text), -1
    for _ in range(_MOST_LINKS):
        middle = text.rfind(_MIDDLE, 0, after)
        if middle < 0:
            return None
        # The first bracket that closes behind it: that of this link, or the one that was found for the link after it.
        nearer = text.find(")", middle, after)
        closing = nearer if nearer >= 0 else closing
        if closing >= 0 and _is_picture(text, middle):
            found = _URL.match(text, middle + len(_MIDDLE), closing)
            if found is not None:
                return found["url"]
        after = middle
    return None


def _is_picture(text: str, middle: int) -> bool:
    opening = text.rfind(_OPENING, max(0, middle - _LONGEST_ALT), middle)
    return opening >= 0 and text.find("]", opening, middle) < 0
