"""Handles and names: what services keep without knowing what is inside."""

import json

import pytest

from flow2api_common.errors import NotFound
from flow2api_common.settings import load_settings
from flow2api_upstream.flow.handles import FlowMedia, FlowOperation
from flow2api_upstream.google.handles import GoogleMedia, GoogleOperation
from flow2api_upstream.port import Account, FailureClass, Secret, UpstreamFailure
from flow2api_upstream.registry import build_registry
from flow2api_upstream.settings import UpstreamSettings


def test_handles_survive_a_round_trip():
    media = FlowMedia(name="n", project="p", workflow="w", session=";1", url="https://x/y?z=1")
    operation = FlowOperation(name="n", project="p", workflow="w", operation="o", scene="s")
    assert FlowMedia.read(media.handle()) == media
    assert FlowOperation.read(operation.handle()) == operation
    clip = GoogleMedia(interaction="i", uri="https://u")
    assert GoogleMedia.read("gemini", clip.handle("gemini")) == clip
    started = GoogleOperation(operation="projects/p/operations/o")
    assert GoogleOperation.read("vertex", started.handle("vertex")) == started


def test_handles_are_versioned_json():
    assert json.loads(FlowMedia(name="n").handle()) == {"v": 1, "provider": "flow", "name": "n"}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "no json",
        "[]",
        '{"v": 2, "provider": "flow"}',
        '{"provider": "flow", "name": "n"}',
        GoogleOperation("i").handle("gemini"),
    ],
)
def test_foreign_handle_is_bad_input(text):
    with pytest.raises(UpstreamFailure) as raised:
        FlowMedia.read(text)
    assert raised.value.failure_class is FailureClass.BAD_INPUT


async def test_registry_knows_its_providers():
    registry = build_registry(load_settings(UpstreamSettings))
    assert registry.names == ("flow", "gemini", "vertex")
    assert [registry.get(name).name for name in registry.names] == list(registry.names)
    with pytest.raises(NotFound) as raised:
        registry.get("other")
    assert raised.value.reason == "PROVIDER_UNKNOWN"
    await registry.aclose()


def test_secrets_stay_out_of_reprs():
    account = Account(1, bearer="ya29.hidden", session_token="hidden-st", proxy_url="http://u:hidden@p")
    assert "hidden" not in f"{account!r} {Secret('hidden')!r}"
