"""``flow2api demo --once``: what a newcomer sees first."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from flow2api_cli.media_facts import clip_facts, picture_facts
from flow2api_testing.programs import free_port, run_flow2api

pytestmark = pytest.mark.timeout(300)


def test_demo_leaves_the_image_and_the_video_asked_for(tmp_path: Path) -> None:
    variables = {"FLOW2API_STATE_DIR": str(tmp_path / "state"), "FLOW2API_PORT": str(free_port())}
    demo = run_flow2api("demo", "--once", variables=variables, timeout=240)
    assert demo.returncode == 0, demo.stdout + demo.stderr
    image, video = (Path(path) for path in re.findall(r"^(?:image|video)  (/\S+)", demo.stdout, re.MULTILINE))
    picture, clip = picture_facts(image.read_bytes()), clip_facts(video.read_bytes())
    assert (picture.width, picture.height) == (1376, 768)
    assert (clip.width, clip.height) == (720, 1280)
    assert clip.seconds == pytest.approx(8, abs=0.5)
    assert "Bearer sk-" in demo.stdout
    assert f"http://127.0.0.1:{variables['FLOW2API_PORT']}/v1" in demo.stdout


def test_demo_that_cannot_serve_fails_and_says_why(tmp_path: Path) -> None:
    variables = {"FLOW2API_STATE_DIR": str(tmp_path / "state"), "FLOW2API_HOST": "203.0.113.1", "FLOW2API_PORT": "1"}
    demo = run_flow2api("demo", "--once", variables=variables, timeout=240)
    assert demo.returncode == 1
    assert "gateway did not start" in demo.stderr
    assert "Traceback" not in demo.stderr
