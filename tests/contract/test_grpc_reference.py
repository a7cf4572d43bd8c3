"""The reference of the contract is whole, and its links lead somewhere."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType

import pytest

from flow2api_proto.access.v1 import access_service_pb2
from flow2api_proto.events.v1 import video_events_pb2
from flow2api_proto.generation.v1 import generation_service_pb2, image_pb2, media_pb2, model_pb2, video_pb2
from flow2api_proto.tokens.v1 import token_pb2, token_service_pb2

CHECKS = Path(__file__).parents[2] / "deploy" / "checks"
PAGE = (Path(__file__).parents[2] / "docs" / "grpc.md").read_text()
FILES = [
    module.DESCRIPTOR
    for module in (
        access_service_pb2,
        video_events_pb2,
        generation_service_pb2,
        image_pb2,
        media_pb2,
        model_pb2,
        video_pb2,
        token_pb2,
        token_service_pb2,
    )
]


@pytest.fixture(scope="module")
def comments() -> ModuleType:
    spec = importlib.util.spec_from_file_location("grpc_page_comments", CHECKS / "grpc_page_comments.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_every_link_of_the_page_leads_to_a_place_on_it() -> None:
    places = set(re.findall(r'<a id="([^"]+)"></a>', PAGE))
    assert set(re.findall(r"\]\(#([^)]+)\)", PAGE)) - places == set()


def test_no_place_is_there_twice() -> None:
    places = re.findall(r'<a id="([^"]+)"></a>', PAGE)
    assert len(places) == len(set(places))


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_every_method_field_and_value_has_its_line(file) -> None:
    wanted = [
        f"#### {service.name}.{method.name}" for service in file.services_by_name.values() for method in service.methods
    ]
    wanted += [
        f"| `{field.name}` = {field.number} | "
        for message in file.message_types_by_name.values()
        for field in message.fields
    ]
    wanted += [
        f"| `{value.name}` = {value.number} | " for enum in file.enum_types_by_name.values() for value in enum.values
    ]
    assert [line for line in wanted if f"\n{line}" not in PAGE] == []


@pytest.mark.parametrize(
    ("comment", "text", "errors"),
    [
        ("Reads one. NOT_FOUND.", "Reads one.", ["NOT_FOUND"]),
        ("Stops. Safe to repeat. NOT_FOUND, ABORTED.", "Stops. Safe to repeat.", ["NOT_FOUND", "ABORTED"]),
        (
            "Adds.\n UNAVAILABLE: it is away; come\n again. NOT_FOUND: no.",
            "Adds.",
            ["UNAVAILABLE: it is away; come again", "NOT_FOUND: no"],
        ),
        ("NOT_FOUND A_REASON; what else refuses; ABORTED.", "", ["NOT_FOUND A_REASON", "what else refuses", "ABORTED"]),
        ("Says UNAVAILABLE in passing.", "Says UNAVAILABLE in passing.", []),
    ],
)
def test_errors_are_told_apart_from_the_rest(comments, comment: str, text: str, errors: list[str]) -> None:
    assert comments.split_errors(comment) == (text, errors)
