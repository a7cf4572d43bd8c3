"""What a conversation asks for."""

from __future__ import annotations

from typing import Any

import pytest

from flow2api_common.errors import InvalidArgument
from flow2api_gateway.openai.chat.conversation import Conversation, read_conversation
from flow2api_gateway.openai.chat.schemas import ChatMessage

PNG_URL = "data:image/png;base64,iVBORw0KGgo="


def read(*messages: tuple[str, Any]) -> Conversation:
    return read_conversation([ChatMessage(role=role, content=content) for role, content in messages])


def text(words: str) -> dict[str, Any]:
    return {"type": "text", "text": words}


def image(url: str) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": url, "detail": "high"}}


def test_the_prompt_is_the_last_message_of_the_user() -> None:
    assert read(("user", "a dog"), ("assistant", "here"), ("user", "a cat")).prompt == "a cat"


def test_text_parts_are_joined_by_newlines() -> None:
    assert read(("user", [text("a cat"), text("in the rain")])).prompt == "a cat\nin the rain"


def test_system_messages_come_before_the_prompt() -> None:
    conversation = read(("system", "Draw in ink."), ("developer", "No text."), ("user", "a cat"))
    assert conversation.prompt == "Draw in ink.\nNo text.\na cat"


def test_pictures_keep_their_order_and_their_path() -> None:
    conversation = read(("user", [text("mix"), image("https://a.example/1.png"), image(PNG_URL)]))
    assert [source.url for source in conversation.pictures] == ["https://a.example/1.png", PNG_URL]
    assert conversation.pictures[1].param == "messages[0].content[2].image_url.url"


def test_a_picture_url_may_stand_without_an_object() -> None:
    assert read(("user", [{"type": "image_url", "image_url": PNG_URL}])).pictures[0].url == PNG_URL


def test_a_file_part_is_a_picture() -> None:
    part = {"type": "file", "file": {"file_data": PNG_URL, "filename": "a.png"}}
    assert read(("user", [part])).pictures[0].url == PNG_URL


def test_an_earlier_answer_of_another_model_may_hold_what_nobody_reads_here() -> None:
    refusal, thought = {"type": "refusal", "refusal": "No."}, {"type": "thinking", "thinking": "Hm.", "signature": "x"}
    drawn = text("![x](https://gw.example/media/1?exp=1&sig=a)")
    conversation = read(("assistant", [refusal, thought, drawn]), ("user", "at night"))
    assert conversation.earlier_picture is not None
    assert conversation.earlier_picture.url == "https://gw.example/media/1?exp=1&sig=a"


def test_the_last_picture_of_an_earlier_answer_is_the_reference() -> None:
    conversation = read(
        ("user", "a dog"),
        ("assistant", "![one](https://gw.example/media/1?exp=1&sig=a)"),
        ("user", "a cat"),
        ("assistant", "two: ![x](https://gw.example/media/2?exp=1&sig=b) ![y](https://gw.example/media/3?exp=1&sig=c)"),
        ("user", "make it blue"),
    )
    assert conversation.earlier_picture is not None
    assert conversation.earlier_picture.url == "https://gw.example/media/3?exp=1&sig=c"
    assert conversation.earlier_picture.implied
    assert [source.url for source in conversation.pictures_for(3)] == ["https://gw.example/media/3?exp=1&sig=c"]


def test_the_earlier_picture_comes_first_beside_new_ones_while_there_is_room() -> None:
    conversation = read(
        ("assistant", "![x](https://gw.example/media/2?exp=1&sig=b)"), ("user", [text("mix"), image(PNG_URL)])
    )
    assert [source.url for source in conversation.pictures_for(2)][1] == PNG_URL
    assert len(conversation.pictures_for(2)) == 2
    assert [source.url for source in conversation.pictures_for(1)] == [PNG_URL]


def test_a_model_without_pictures_gets_none_from_the_past() -> None:
    conversation = read(("assistant", "![x](https://a.example/1.png)"), ("user", "a cat"))
    assert conversation.pictures_for(0) == []


def test_a_clip_to_continue() -> None:
    conversation = read(("user", [text("go on"), image("extend://video_0190abc")]))
    assert conversation.source_clip_id == "video_0190abc"
    assert conversation.pictures == []


@pytest.mark.parametrize(
    ("messages", "param"),
    [
        ([], "messages"),
        ([("narrator", "hello")], "messages[0].role"),
        ([("user", [{"type": "audio"}])], "messages[0].content[0].type"),
        ([("user", [{"type": "text"}])], "messages[0].content[0].text"),
        ([("user", [{"type": "image_url", "image_url": {"url": 7}}])], "messages[0].content[0].image_url.url"),
        ([("user", [{"type": "image_url"}])], "messages[0].content[0].image_url"),
        ([("user", "x"), ("user", [{"type": "file", "file": "x"}])], "messages[1].content[0].file"),
    ],
)
def test_a_wrong_part_is_named(messages: list[tuple[str, Any]], param: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        read(*messages)
    assert caught.value.violations[0].field == param
