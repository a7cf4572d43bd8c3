"""The forms in which administrators have lists of tokens."""

from __future__ import annotations

import pytest

from flow2api_common.errors import InvalidArgument
from flow2api_gateway.admin.import_to_grpc import import_of_json, import_of_text


def secrets(read) -> list[tuple[str, str]]:
    return [(token.provider, token.secret) for token in read.request.tokens]


def test_text_has_one_session_token_a_line():
    read = import_of_text("# mine\nst-1\r\n\n  st-2  \n")

    assert secrets(read) == [("flow", "st-1"), ("flow", "st-2")]


@pytest.mark.parametrize("body", [b'[{"st": "s"}]', b'{"tokens": [{"session_token": "s", "email": "a@b"}]}'])
def test_json_has_the_fields_of_the_original(body):
    assert secrets(import_of_json(body)) == [("flow", "s")]


def test_wrong_entry_stands_in_the_way_of_no_other():
    read = import_of_json(b'[{"st": 5}, {"provider": "gemini", "api_key": "k"}, 7, {}, {"st": "a\\u0000b"}]')

    assert secrets(read) == [("gemini", "k")]
    assert sorted(read.refused) == [0, 2, 3, 4]


def test_export_comes_with_its_passphrase():
    read = import_of_json(b'{"export": {"format": "flow2api-tokens"}, "passphrase": "p"}')

    assert (read.request.sealed, read.request.passphrase) == ('{"format":"flow2api-tokens"}', "p")
    with pytest.raises(InvalidArgument, match="passphrase"):
        import_of_json(b'{"export": {}}')


@pytest.mark.parametrize("body", [b"", b"[", b"[]", b"{}", b'{"tokens": "st"}', b'"st"'])
def test_what_is_no_import_is_refused(body):
    with pytest.raises(InvalidArgument):
        import_of_json(body)
