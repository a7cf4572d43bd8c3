"""Durations may be given as operators write them."""

from __future__ import annotations

from datetime import timedelta

import pytest

from flow2api_common.settings import SettingsError, load_settings
from flow2api_generation_service.videos.settings import VideoSettings


@pytest.mark.parametrize(("text", "seconds"), [("20", 20), ("0.5", 0.5), ("PT5M", 300)])
def test_durations_are_seconds_or_iso_8601(monkeypatch: pytest.MonkeyPatch, text: str, seconds: float) -> None:
    monkeypatch.setenv("FLOW2API_VIDEO_LEASE_WAIT", text)
    assert load_settings(VideoSettings).video_lease_wait == timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["0", "-1", "soon"])
def test_durations_without_meaning_are_refused(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("FLOW2API_VIDEO_LEASE_WAIT", text)
    with pytest.raises(SettingsError, match="FLOW2API_VIDEO_LEASE_WAIT"):
        load_settings(VideoSettings)
