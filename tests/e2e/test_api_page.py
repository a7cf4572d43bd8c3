"""docs/api.md, executed: its shell blocks as one script, its Python blocks as one program."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from flow2api_testing.systems import API_KEY, System, all_in_one_system

pytestmark = pytest.mark.timeout(300)

PAGE = Path(__file__).parents[2] / "docs" / "api.md"
BLOCK = re.compile(r"^```(?P<language>bash|python)\n(?P<code>.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """One system for both languages, with an upstream that answers at once."""
    with all_in_one_system(tmp_path_factory.mktemp("api-page"), time_scale="0") as running:
        yield running


def blocks(language: str) -> list[str]:
    return [block["code"] for block in BLOCK.finditer(PAGE.read_text()) if block["language"] == language]


def run(program: list[str], system: System, directory: Path) -> None:
    variables = {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "FLOW2API_URL": system.base_url,
        "FLOW2API_API_KEY": API_KEY,
        "OPENAI_BASE_URL": f"{system.base_url}/v1",
        "OPENAI_API_KEY": API_KEY,
        "NO_PROXY": "127.0.0.1",
    }
    done = subprocess.run(  # noqa: S603 - the blocks of our own page.
        program, cwd=directory, env=variables, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{done.stdout[-1500:]}\n{done.stderr[-1500:]}"


def test_the_shell_examples_work(system: System, tmp_path: Path) -> None:
    if shutil.which("curl") is None:
        pytest.skip("this machine has no curl")
    script = "".join(f"echo 'block {index}' >&2\n{code}\n" for index, code in enumerate(blocks("bash")))
    run(["bash", "-euo", "pipefail", "-c", script], system, tmp_path)
    assert (tmp_path / "waves.part").stat().st_size == 1000


def test_the_python_examples_work(system: System, tmp_path: Path) -> None:
    run([sys.executable, "-W", "ignore::DeprecationWarning", "-c", "\n".join(blocks("python"))], system, tmp_path)
    assert b"ftyp" in (tmp_path / "waves.mp4").read_bytes()[:12]


def test_every_endpoint_for_clients_is_on_the_page() -> None:
    page = PAGE.read_text()
    for path in ("/v1/models", "/v1/images/generations", "/v1/images/edits", "/v1/chat/completions", "/v1/videos"):
        assert sum(path in code for code in blocks("bash")) >= 1
        assert path in page
