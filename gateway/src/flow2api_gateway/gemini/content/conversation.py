"""What contents ask for: the prompt and the pictures that go with it.

The prompt is the text of the user's last turn, after the system instruction; its pictures are the references in order,
after the last picture of the turns before, which is the one that a conversation edits.
Source: docs/upstream/google-official.md, section 5.
"""

from __future__ import annotations

import binascii
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from flow2api_common.errors import InvalidArgument
from flow2api_gateway.edge.kept_pictures import kept_picture
from flow2api_gateway.gemini.content.schemas import Blob, Content, GenerateContentRequest, Part
from flow2api_gateway.gemini.file_uris import uri_source
from flow2api_gateway.generation.pictures import PictureSource, decode_base64

MAX_PROMPT: Final = 32_000
_ROLES: Final = frozenset({"", "user", "model", "function", "system"})


@dataclass(slots=True)
class PictureOrder:
    """The request inside contents."""

    prompt: str
    pictures: list[PictureSource] = field(default_factory=list)
    earlier_picture: PictureSource | None = None

    def pictures_for(self, max_count: int) -> list[PictureSource]:
        """The references for a model: the earlier picture first, when there is room for it."""
        if self.earlier_picture is None or len(self.pictures) >= max_count:
            return self.pictures
        return [self.earlier_picture, *self.pictures]


def read_contents(request: GenerateContentRequest) -> PictureOrder:
    """Read the request out of the contents. Decodes base64: for a thread. Raises InvalidArgument naming the part."""
    contents = request.contents
    for index, content in enumerate(contents):
        if (content.role or "") not in _ROLES:
            raise InvalidArgument.of(f"contents[{index}].role", "Please use a valid role: user, model.")
    asking = next((index for index in range(len(contents) - 1, -1, -1) if contents[index].role != "model"), None)
    if asking is None:
        raise InvalidArgument.of("contents", "The contents have no turn of the user.", reason="MISSING_PARAMETER")
    texts = [part.text or "" for part in (request.system_instruction or Content()).parts or []]
    order = PictureOrder(prompt="")
    for part, param in _parts(contents[asking], asking):
        if part.text is not None:
            texts.append(part.text)
        picture = _picture(part, param)
        if picture is not None:
            order.pictures.append(picture)
    order.prompt = "\n".join(text for text in texts if text.strip()).strip()
    order.earlier_picture = _last_picture(contents[:asking])
    _check(order)
    return order


def _check(order: PictureOrder) -> None:
    if not order.prompt and not order.pictures:
        raise InvalidArgument.of(
            "contents", "The last turn of the user has neither text nor a picture.", reason="MISSING_PARAMETER"
        )
    if len(order.prompt) > MAX_PROMPT:
        raise InvalidArgument.of("contents", f"The prompt has more than {MAX_PROMPT} characters.")


def _parts(content: Content, index: int) -> Iterator[tuple[Part, str]]:
    """The parts that count; drafts of a thinking model are none."""
    for number, part in enumerate(content.parts or []):
        if not part.thought:
            yield part, f"contents[{index}].parts[{number}]"


def _last_picture(contents: list[Content]) -> PictureSource | None:
    for index in range(len(contents) - 1, -1, -1):
        for part, param in reversed(list(_parts(contents[index], index))):
            picture = _picture(part, param, implied=True)
            if picture is not None:
                return picture
    return None


def _picture(part: Part, param: str, *, implied: bool = False) -> PictureSource | None:
    if part.inline_data is not None:
        return inline_source(part.inline_data, f"{param}.inlineData", implied=implied)
    if part.file_data is not None:
        return uri_source(part.file_data.file_uri, f"{param}.fileData.fileUri", implied=implied)
    return None


def inline_source(blob: Blob, param: str, *, implied: bool = False) -> PictureSource:
    """The picture inside a request, in either alphabet of base64. Raises InvalidArgument naming the field."""
    if blob.mime_type and not blob.mime_type.lower().startswith("image/"):
        raise InvalidArgument.of(
            f"{param}.mimeType", f"Unsupported MIME type: {blob.mime_type[:60]}. Pictures are taken.",
            reason="INVALID_IMAGE",
        )  # fmt: skip
    if (kept := kept_picture(blob.data)) is not None:
        return PictureSource(param=f"{param}.data", file=kept, implied=implied)
    try:
        content = decode_base64(blob.data)
    except (binascii.Error, ValueError) as exc:
        raise InvalidArgument.of(f"{param}.data", "Base64 decoding failed.", reason="INVALID_IMAGE") from exc
    if not content:
        raise InvalidArgument.of(f"{param}.data", "The picture is empty.", reason="INVALID_IMAGE")
    return PictureSource(param=f"{param}.data", content=content, implied=implied)
