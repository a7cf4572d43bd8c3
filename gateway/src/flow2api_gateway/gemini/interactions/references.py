"""Ids of interactions. An interaction is not kept: its id says which clip or picture it is, and how to answer it.

Nothing in it is secret or believed: whose the clip or picture is, the generation-service knows.
"""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass
from typing import Any

import orjson

from flow2api_common.errors import NotFound

_PREFIX = "v1_"
_NAME = re.compile(r"[A-Za-z0-9_-]{1,100}")
_LONGEST = 1000
_FORMATS = ("", "png", "jpeg", "webp")


@dataclass(frozen=True, slots=True)
class InteractionReference:
    """One of ``video_id`` and ``media_id``; ``image_format`` is what a picture is converted to, mostly nothing."""

    model: str
    video_id: str = ""
    media_id: str = ""
    by_uri: bool = False
    image_format: str = ""

    @property
    def interaction_id(self) -> str:
        """The id that says all this."""
        members = [self.model, self.video_id, self.media_id, self.by_uri, self.image_format]
        return _PREFIX + base64.urlsafe_b64encode(orjson.dumps(members)).decode("ascii").rstrip("=")


def read_reference(interaction_id: str) -> InteractionReference:
    """What an id says. Raises NotFound INTERACTION_NOT_FOUND when it is none of ours."""
    members = _members(interaction_id)
    if len(members) != 5 or not all(isinstance(member, str) for member in (*members[:3], members[4])):
        raise interaction_not_found()
    reference = InteractionReference(members[0], members[1], members[2], bool(members[3]), members[4])
    named = [name for name in (reference.video_id, reference.media_id) if name]
    if len(named) != 1 or not _NAME.fullmatch(named[0]) or reference.image_format not in _FORMATS:
        raise interaction_not_found()
    return reference


def _members(interaction_id: str) -> list[Any]:
    text = interaction_id.removeprefix(_PREFIX)
    if text == interaction_id or len(text) > _LONGEST:
        return []
    try:
        members = orjson.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    except ValueError:
        return []
    return members if isinstance(members, list) else []


def interaction_not_found() -> NotFound:
    """The error of an id that leads nowhere."""
    return NotFound("The interaction was not found.", reason="INTERACTION_NOT_FOUND")
