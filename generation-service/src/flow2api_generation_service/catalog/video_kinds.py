"""What kind of clip a request asks for, by its pictures and their roles."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from flow2api_common.errors import InvalidArgument
from flow2api_upstream.port import VideoKind


class ImageRole(StrEnum):
    """What an input picture is for. UNSPECIFIED: the model decides by its kind and the order of the pictures."""

    UNSPECIFIED = "unspecified"
    FIRST_FRAME = "first_frame"
    LAST_FRAME = "last_frame"
    REFERENCE = "reference"


@dataclass(frozen=True, slots=True)
class PictureUse:
    """A way to use the pictures of a request: ``order`` lists their indexes as the kind wants them (first frame, last
    frame; or references as given)."""

    kind: VideoKind
    order: tuple[int, ...]


def picture_uses(roles: Sequence[ImageRole]) -> list[PictureUse]:
    """The kinds that pictures with these roles can make, most likely first.

    Raises InvalidArgument for ``input_images`` where the roles contradict each other.
    """
    count = len(roles)
    in_order = tuple(range(count))
    if count == 0:
        return [PictureUse(VideoKind.TEXT, ())]
    given = {role for role in roles if role is not ImageRole.UNSPECIFIED}
    references = PictureUse(VideoKind.REFERENCES, in_order)
    if not given:
        return [*_frames_in_order(count), references]
    if given == {ImageRole.REFERENCE}:
        return [references]
    if ImageRole.REFERENCE in given:
        raise InvalidArgument.of("input_images", "A clip is made from frames or from references, not from both.")
    return [_frames_by_role(roles)]


def _frames_in_order(count: int) -> list[PictureUse]:
    if count == 1:
        return [PictureUse(VideoKind.FIRST_FRAME, (0,))]
    if count == 2:
        return [PictureUse(VideoKind.FIRST_AND_LAST_FRAME, (0, 1))]
    return []


def _frames_by_role(roles: Sequence[ImageRole]) -> PictureUse:
    firsts = [index for index, role in enumerate(roles) if role is ImageRole.FIRST_FRAME]
    lasts = [index for index, role in enumerate(roles) if role is ImageRole.LAST_FRAME]
    others = [index for index, role in enumerate(roles) if role is ImageRole.UNSPECIFIED]
    if not firsts and others:
        firsts.append(others.pop(0))
    if not lasts and others:
        lasts.append(others.pop(0))
    if others or len(firsts) != 1 or len(lasts) > 1:
        raise InvalidArgument.of("input_images", "A clip from frames has one first frame and at most one last frame.")
    if lasts:
        return PictureUse(VideoKind.FIRST_AND_LAST_FRAME, (firsts[0], lasts[0]))
    return PictureUse(VideoKind.FIRST_FRAME, (firsts[0],))
