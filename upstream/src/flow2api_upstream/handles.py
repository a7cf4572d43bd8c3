"""The JSON text of handles: compact, with a version, so that stored ones stay readable after a change."""

import json
from collections.abc import Mapping

from flow2api_upstream.json_reading import as_object, int_at
from flow2api_upstream.port import FailureClass, UpstreamFailure

_VERSION = 1


def write_handle(provider: str, members: Mapping[str, str]) -> str:
    """Text of a handle; empty members are left out."""
    kept = {name: value for name, value in members.items() if value}
    return json.dumps({"v": _VERSION, "provider": provider, **kept}, separators=(",", ":"), ensure_ascii=False)


def read_handle(provider: str, text: str) -> dict[str, str]:
    """Members of a handle that this provider wrote. Raises BAD_INPUT for any other text."""
    try:
        value = as_object(json.loads(text))
    except ValueError:
        value = {}
    if int_at(value, "v") != _VERSION or value.get("provider") != provider:
        raise UpstreamFailure(
            FailureClass.BAD_INPUT, "The media named here was not made by this provider.", reason="unknown_handle"
        )
    return {name: member for name, member in value.items() if isinstance(member, str)}
