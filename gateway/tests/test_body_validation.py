"""Wrong fields are named by the path that the client would write."""

from __future__ import annotations

from typing import Any

import pytest

from flow2api_common.errors import InvalidArgument
from flow2api_gateway.edge.bodies import validated
from flow2api_gateway.openai.chat.schemas import ChatCompletionRequest
from flow2api_gateway.openai.videos.schemas import VideoCreateRequest

GOOD: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "a cat"}]}


@pytest.mark.parametrize(
    ("change", "param", "reason"),
    [
        ({"model": None}, "model", "INVALID_TYPE"),
        ({"model": 7}, "model", "INVALID_TYPE"),
        ({"messages": "hello"}, "messages", "INVALID_TYPE"),
        ({"messages": ["hello"]}, "messages[0]", "INVALID_TYPE"),
        ({"messages": [{"content": "x"}]}, "messages[0].role", "MISSING_PARAMETER"),
        ({"messages": [{"role": "user", "content": 7}]}, "messages[0].content", "INVALID_TYPE"),
        ({"messages": [{"role": "user", "content": ["x"]}]}, "messages[0].content[0]", "INVALID_TYPE"),
        ({"n": "2"}, "n", "INVALID_TYPE"),
        ({"n": 1.5}, "n", "INVALID_TYPE"),
        ({"stream": "yes"}, "stream", "INVALID_TYPE"),
        ({"stream_options": {"include_usage": 1}}, "stream_options.include_usage", "INVALID_TYPE"),
        ({"size": 1024}, "size", "INVALID_TYPE"),
        ({"seconds": []}, "seconds", "INVALID_TYPE"),
        ({"extra_body": {"aspect_ratio": 7}}, "extra_body.aspect_ratio", "INVALID_TYPE"),
    ],
)
def test_a_wrong_type_names_its_param(change: dict[str, Any], param: str, reason: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        validated(ChatCompletionRequest, GOOD | change, strict=True)
    assert (caught.value.violations[0].field, caught.value.reason) == (param, reason)


@pytest.mark.parametrize("name", ["model", "messages"])
def test_a_missing_field_is_named(name: str) -> None:
    fields = {key: value for key, value in GOOD.items() if key != name}
    with pytest.raises(InvalidArgument) as caught:
        validated(ChatCompletionRequest, fields, strict=True)
    assert (caught.value.violations[0].field, caught.value.reason) == (name, "MISSING_PARAMETER")


def test_what_chat_clients_always_send_is_tolerated() -> None:
    ignored = {"temperature": 0.7, "tools": [], "stop": ["x"], "logprobs": None, "response_format": {"type": "text"}}
    request = validated(ChatCompletionRequest, GOOD | ignored | {"n": None, "stream": None}, strict=True)
    assert request.model == "m"


def test_forms_have_numbers_in_strings() -> None:
    request = validated(VideoCreateRequest, {"prompt": "p", "model": "m", "seed": "7", "seconds": "8"}, strict=False)
    assert (request.seed, request.seconds) == (7, "8")


def test_a_form_with_a_word_for_a_number_names_it() -> None:
    with pytest.raises(InvalidArgument) as caught:
        validated(VideoCreateRequest, {"prompt": "p", "model": "m", "seed": "many"}, strict=False)
    assert caught.value.violations[0].field == "seed"
