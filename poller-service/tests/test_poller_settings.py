"""Durations may be given as operators write them."""

from __future__ import annotations

from datetime import timedelta

import pytest

from flow2api_common.settings import SettingsError, load_settings
from flow2api_poller_service.settings import FollowSettings


@pytest.mark.parametrize(("text", "seconds"), [("20", 20), ("0.5", 0.5), ("PT5M", 300)])
def test_durations_are_seconds_or_iso_8601(monkeypatch: pytest.MonkeyPatch, text: str, seconds: float) -> None:
    monkeypatch.setenv("FLOW2API_POLLER_STORE_PATIENCE", text)
    assert load_settings(FollowSettings).poller_store_patience == timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["0", "-2", "often"])
def test_a_poll_interval_without_meaning_is_refused(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("FLOW2API_VIDEO_POLL_INTERVAL", text)
    with pytest.raises(SettingsError, match="FLOW2API_VIDEO_POLL_INTERVAL"):
        load_settings(FollowSettings)
