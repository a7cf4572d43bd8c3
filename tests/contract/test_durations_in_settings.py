"""Every span of time in the settings may be given as operators write it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import timedelta

import pytest
from pydantic import TypeAdapter
from pydantic.fields import FieldInfo

from flow2api_common.settings import BaseServiceSettings, SettingsError, load_settings
from flow2api_gateway.settings import GatewaySettings
from flow2api_generation_service.settings import GenerationServiceSettings
from flow2api_poller_service.settings import PollerServiceSettings
from flow2api_token_service.settings import TokenServiceSettings

CLASSES: tuple[type[BaseServiceSettings], ...] = (
    GatewaySettings,
    GenerationServiceSettings,
    PollerServiceSettings,
    TokenServiceSettings,
)


def durations() -> Iterator[tuple[str, FieldInfo]]:
    fields = {name: field for settings in CLASSES for name, field in settings.model_fields.items()}
    return ((name, field) for name, field in sorted(fields.items()) if "timedelta" in str(field.annotation))


@pytest.mark.parametrize(("name", "field"), list(durations()))
@pytest.mark.parametrize(("text", "expected"), [("20", 20.0), ("4.5", 4.5), ("PT5M", 300.0)])
def test_seconds_and_iso_8601_are_understood(name: str, field: FieldInfo, text: str, expected: float) -> None:
    adapter: TypeAdapter[timedelta] = TypeAdapter(field.rebuild_annotation())
    assert adapter.validate_python(text) == timedelta(seconds=expected), name


@pytest.mark.parametrize("text", ["-2", "often", "0"])
def test_a_poll_interval_without_meaning_is_refused(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    for name in [name for name in os.environ if name.startswith("FLOW2API_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("FLOW2API_VIDEO_POLL_INTERVAL", text)
    with pytest.raises(SettingsError, match="FLOW2API_VIDEO_POLL_INTERVAL: "):
        load_settings(PollerServiceSettings)
