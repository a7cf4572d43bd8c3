"""What the input of an interaction asks for: the prompt, pictures, a clip to go on from.

A string; a list of contents; a list of turns, of which the last of the user counts, with the last picture of the turns
before as the one to edit. Source: docs/upstream/google-official.md, section 6.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from flow2api_common.errors import InvalidArgument
from flow2api_gateway.edge.bodies import validated
from flow2api_gateway.gemini.content.conversation import MAX_PROMPT, inline_source
from flow2api_gateway.gemini.content.schemas import Blob
from flow2api_gateway.gemini.file_uris import file_id_of, uri_source
from flow2api_gateway.gemini.files.lookup import video_of_file
from flow2api_gateway.gemini.interactions.references import InteractionReference, read_reference
from flow2api_gateway.gemini.interactions.schemas import CreateInteractionRequest, InteractionContent, InteractionStep
from flow2api_gateway.generation.pictures import PictureSource

_USER = "user_input"
_TURNS = frozenset({_USER, "model_output", "thought"})


@dataclass(slots=True)
class InteractionOrder:
    """The request inside an input."""

    prompt: str = ""
    pictures: list[PictureSource] = field(default_factory=list)
    earlier_picture: PictureSource | None = None
    source_video_id: str = ""

    def pictures_for(self, max_count: int) -> list[PictureSource]:
        """The references for a model: the earlier picture first, when there is room for it."""
        if self.earlier_picture is None or len(self.pictures) >= max_count:
            return self.pictures
        return [self.earlier_picture, *self.pictures]


def read_input(request: CreateInteractionRequest) -> InteractionOrder:
    """Read the request out of the input. Decodes base64: for a thread. Raises InvalidArgument, NotFound."""
    turns = _turns(request.input)
    asking = next((index for index in range(len(turns) - 1, -1, -1) if turns[index].type == _USER), None)
    if asking is None:
        raise InvalidArgument.of("input", "The input has no turn of the user.", reason="MISSING_PARAMETER")
    order = InteractionOrder()
    if request.previous_interaction_id:
        _go_on_from(order, read_reference(request.previous_interaction_id))
    texts = [request.system_instruction or ""]
    for content, param in _contents(turns[asking], asking):
        _add(order, texts, content, param)
    order.prompt = "\n".join(text for text in texts if text.strip()).strip()
    order.earlier_picture = _last_picture(turns[:asking]) or order.earlier_picture
    if not (order.prompt or order.pictures):
        raise InvalidArgument.of("input", "The input has neither text nor a picture.", reason="MISSING_PARAMETER")
    if len(order.prompt) > MAX_PROMPT:
        raise InvalidArgument.of("input", f"The prompt has more than {MAX_PROMPT} characters.")
    return order


def _turns(given: str | list[dict[str, Any]] | dict[str, Any]) -> list[InteractionStep]:
    if isinstance(given, str):
        return [InteractionStep(type=_USER, content=given)]
    items = [given] if isinstance(given, dict) else given
    if items and items[0].get("type") not in _TURNS:
        contents = [validated(InteractionContent, item, strict=True) for item in items]
        return [InteractionStep(type=_USER, content=contents)]
    return [validated(InteractionStep, item, strict=True) for item in items]


def _contents(turn: InteractionStep, index: int) -> Iterator[tuple[InteractionContent, str]]:
    if isinstance(turn.content, str):
        yield InteractionContent(type="text", text=turn.content), "input"
        return
    for number, content in enumerate(turn.content or []):
        yield content, f"input[{index}].content[{number}]"


def _add(order: InteractionOrder, texts: list[str], content: InteractionContent, param: str) -> None:
    match content.type:
        case "text":
            texts.append(content.text or "")
        case "image":
            order.pictures.append(_picture(content, param))
        case "video":
            file_id = file_id_of(content.uri or "")
            order.source_video_id = (video_of_file(file_id) if file_id else None) or ""
            if not order.source_video_id:
                raise InvalidArgument.of(f"{param}.uri", "Only the URI of a video that was made here is taken.")
        case _:
            raise InvalidArgument.of(f"{param}.type", "Supported are 'text', 'image' and 'video'.")


def _picture(content: InteractionContent, param: str, *, implied: bool = False) -> PictureSource:
    if content.data:
        return inline_source(Blob(mime_type=content.mime_type or "", data=content.data), param, implied=implied)
    if content.uri:
        return uri_source(content.uri, f"{param}.uri", implied=implied)
    raise InvalidArgument.of(param, "A picture has 'data' or 'uri'.", reason="INVALID_IMAGE")


def _last_picture(turns: Sequence[InteractionStep]) -> PictureSource | None:
    for index in range(len(turns) - 1, -1, -1):
        for content, param in reversed(list(_contents(turns[index], index))):
            if content.type == "image":
                return _picture(content, param, implied=True)
    return None


def _go_on_from(order: InteractionOrder, previous: InteractionReference) -> None:
    if previous.video_id:
        order.source_video_id = previous.video_id
    else:
        order.earlier_picture = PictureSource(param="previous_interaction_id", media_id=previous.media_id)
