"""The right to send the bytes of one upload, carried by its address.

The address is all that there is of a begun upload: any replica of the gateway can take the bytes.
Source: docs/upstream/google-official.md, section 9 ("a capability URL").
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import Final

import orjson

from flow2api_common.clock import Clock, utc_now
from flow2api_common.errors import NotFound

KEY_PURPOSE: Final = "gateway/gemini-uploads"
LIFETIME: Final = timedelta(hours=1)
_LONGEST: Final = 4096


@dataclass(frozen=True, slots=True)
class UploadTicket:
    """What was said about a file before its bytes; ``size_bytes`` is -1 when it was not."""

    upload_id: str
    api_key_id: str
    display_name: str
    size_bytes: int
    expires: int


class UploadTickets:
    """Writes and reads tickets."""

    def __init__(self, *, key: bytes, clock: Clock = utc_now) -> None:
        self._key = key
        self._clock = clock

    def write(self, *, upload_id: str, api_key_id: str, display_name: str, size_bytes: int) -> str:
        """A ticket that is good for an hour."""
        expires = int((self._clock() + LIFETIME).timestamp())
        ticket = UploadTicket(upload_id, api_key_id, display_name, size_bytes, expires)
        content = base64.urlsafe_b64encode(orjson.dumps(asdict(ticket)))
        return f"{content.decode('ascii')}.{self._signature(content)}"

    def read(self, text: str) -> UploadTicket:
        """The ticket. Raises NotFound UPLOAD_NOT_FOUND when it is not ours or too old."""
        content, _, signature = text.partition(".")
        try:
            raw = content.encode("ascii")
            if len(text) > _LONGEST or not hmac.compare_digest(self._signature(raw).encode(), signature.encode()):
                raise _not_found()
            ticket = UploadTicket(**orjson.loads(base64.urlsafe_b64decode(raw)))
        except (UnicodeError, binascii.Error, orjson.JSONDecodeError, TypeError) as exc:
            raise _not_found() from exc
        if ticket.expires <= self._clock().timestamp():
            raise _not_found()
        return ticket

    def _signature(self, content: bytes) -> str:
        digest = hmac.new(self._key, content, hashlib.sha256).digest()
        return base64.urlsafe_b64encode(digest).decode("ascii").rstrip("=")


def _not_found() -> NotFound:
    return NotFound("There is no such upload, or it has expired.", reason="UPLOAD_NOT_FOUND")
