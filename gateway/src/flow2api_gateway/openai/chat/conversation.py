"""What a conversation asks for: the prompt, the pictures that go with it, a clip to continue.

The prompt is the text of the last message of the user; system messages are put before it, because that is where people
put a style. Its pictures are the references in order, after the last picture linked in an earlier answer. Source of the
rest: docs/upstream/openai.md, section 6.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from flow2api_common.errors import InvalidArgument
from flow2api_gateway.generation.pictures import PictureSource
from flow2api_gateway.openai.chat.linked_pictures import last_linked_picture
from flow2api_gateway.openai.chat.schemas import ChatMessage

EXTEND_SCHEME: Final = "extend://"
_ROLES: Final = frozenset({"system", "developer", "user", "assistant", "tool", "function"})
_KNOWN_PARTS: Final = frozenset({"text", "input_text", "image_url", "input_image", "file"})


@dataclass(slots=True)
class Conversation:
    """The request inside a conversation."""

    prompt: str
    pictures: list[PictureSource] = field(default_factory=list)
    earlier_picture: PictureSource | None = None
    source_clip_id: str = ""
    source_clip_param: str = ""

    def pictures_for(self, max_count: int) -> list[PictureSource]:
        """The references for a picture model: the earlier picture first, when there is room for it."""
        if self.earlier_picture is None or len(self.pictures) >= max_count:
            return self.pictures
        return [self.earlier_picture, *self.pictures]


def read_conversation(messages: Sequence[ChatMessage]) -> Conversation:
    """Read the request out of the messages. Raises InvalidArgument naming the part."""
    if not messages:
        raise InvalidArgument.of("messages", "'messages' must not be empty.")
    for index, message in enumerate(messages):
        if message.role not in _ROLES:
            raise InvalidArgument.of(f"messages[{index}].role", f"Unknown role '{message.role[:40]}'.")
    asking = _asking_index(messages)
    conversation = Conversation(prompt="")
    texts = [
        text
        for index, message in enumerate(messages[:asking])
        if message.role in ("system", "developer")
        for text in _texts(message, index)
    ]
    for text_or_picture in _parts(messages[asking], asking):
        if isinstance(text_or_picture, str):
            texts.append(text_or_picture)
        elif text_or_picture.url.startswith(EXTEND_SCHEME):
            conversation.source_clip_id = _clip_id(text_or_picture)
            conversation.source_clip_param = text_or_picture.param
        else:
            conversation.pictures.append(text_or_picture)
    conversation.prompt = "\n".join(text for text in texts if text.strip()).strip()
    conversation.earlier_picture = _last_answered_picture(messages[:asking])
    return conversation


def _asking_index(messages: Sequence[ChatMessage]) -> int:
    """The last message of the user; the last of all when the user has said nothing."""
    for index in range(len(messages) - 1, -1, -1):
        if messages[index].role == "user":
            return index
    return len(messages) - 1


def _clip_id(reference: PictureSource) -> str:
    clip_id = reference.url.removeprefix(EXTEND_SCHEME).strip("/")
    if not clip_id:
        raise _wrong(reference.param, "the id of the clip to continue is missing")
    return clip_id


def _texts(message: ChatMessage, index: int) -> Iterator[str]:
    return (part for part in _parts(message, index) if isinstance(part, str))


def _parts(message: ChatMessage, index: int) -> Iterator[str | PictureSource]:
    if isinstance(message.content, str):
        yield message.content
        return
    for part_index, part in enumerate(message.content or []):
        yield _part(part, f"messages[{index}].content[{part_index}]")


def _parts_of_answer(message: ChatMessage, index: int) -> Iterator[str | PictureSource]:
    """Those that may hold a picture: an earlier answer may be of any model, with refusals, thoughts and tool calls."""
    if not isinstance(message.content, list):
        yield from _parts(message, index)
        return
    for part_index, part in enumerate(message.content):
        if part.get("type") in _KNOWN_PARTS:
            yield _part(part, f"messages[{index}].content[{part_index}]")


def _part(part: dict[str, Any], param: str) -> str | PictureSource:
    kind = part.get("type")
    if kind in ("text", "input_text"):
        return _string(part, "text", param)
    if kind in ("image_url", "input_image"):
        value = part.get("image_url")
        if isinstance(value, dict):
            return PictureSource(param=f"{param}.image_url.url", url=_string(value, "url", f"{param}.image_url"))
        return PictureSource(param=f"{param}.image_url", url=_string(part, "image_url", param))
    if kind == "file":
        file = part.get("file")
        if not isinstance(file, dict):
            raise _wrong(f"{param}.file", "expected an object")
        return PictureSource(param=f"{param}.file.file_data", url=_string(file, "file_data", f"{param}.file"))
    raise _wrong(f"{param}.type", "supported are 'text', 'image_url' and 'file'")


def _string(fields: dict[str, Any], name: str, param: str) -> str:
    value = fields.get(name)
    if not isinstance(value, str):
        raise _wrong(f"{param}.{name}", "expected a string")
    return value


def _wrong(param: str, what: str) -> InvalidArgument:
    return InvalidArgument.of(param, f"Invalid value for '{param}': {what}.", reason="INVALID_VALUE")


def _last_answered_picture(messages: Sequence[ChatMessage]) -> PictureSource | None:
    for index in range(len(messages) - 1, -1, -1):
        if messages[index].role != "assistant":
            continue
        for part in reversed(list(_parts_of_answer(messages[index], index))):
            if isinstance(part, PictureSource):
                return PictureSource(param=part.param, url=part.url, implied=True)
            url = last_linked_picture(part)
            if url is not None:
                return PictureSource(param=f"messages[{index}].content", url=url, implied=True)
    return None
