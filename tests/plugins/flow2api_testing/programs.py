"""The project's programs as child processes of a test, as an operator would run them."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from flow2api_cli.child_process import ChildProcess, spawn

START_TIMEOUT_SECONDS = 120.0
_PAUSE_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class SandboxProgram:
    """A sandbox in a process of its own."""

    urls: Mapping[str, str]
    pid: int = 0

    def settings(self) -> dict[str, str]:
        """The variables that point a service at it."""
        names = {
            "flow_labs_url": "flow_labs_url",
            "flow_api_url": "flow_api_url",
            "gemini_url": "gemini_url",
            "vertex_url": "vertex_url",
            "google_token_url": "token_url",
            "google_storage_url": "storage_url",
            "google_metadata_url": "base_url",
        }
        return {f"FLOW2API_{setting.upper()}": self.urls[name] for setting, name in names.items()}

    def submissions(self) -> dict[str, int]:
        """How often each prompt was accepted, and charged."""
        return {prompt: counts["accepted"] for prompt, counts in self.report()["submissions"].items()}

    def report(self) -> dict[str, Any]:
        """Everything that it has counted."""
        answer = httpx.get(f"{self.urls['control_url']}/report", trust_env=False).raise_for_status()
        report: dict[str, Any] = answer.json()
        return report

    def pad_clips(self, at_least_bytes: int) -> None:
        """Let the files of clips have at least that size from now on."""
        body = {"at_least_bytes": at_least_bytes}
        httpx.post(f"{self.urls['control_url']}/clip-size", json=body, trust_env=False).raise_for_status()


@contextmanager
def sandbox_program(directory: Path, **settings: str) -> Iterator[SandboxProgram]:
    """Run the sandbox; ``settings`` are ``FLOW2API_SANDBOX_*`` variables in lower case without the prefix."""
    directory.mkdir(parents=True, exist_ok=True)
    program = Program(
        "sandbox",
        (sys.executable, "-m", "flow2api_sandbox", "--port", "0"),
        {f"FLOW2API_SANDBOX_{name.upper()}": value for name, value in settings.items()},
        directory,
    )
    program.start()
    try:
        block_until(lambda: program.first_line() is not None, program)
        yield SandboxProgram(json.loads(program.first_line() or "{}"), program.pid)
    finally:
        program.stop()


class Program:
    """One program that can be started, killed and started again with the same settings."""

    def __init__(self, name: str, command: tuple[str, ...], variables: Mapping[str, str], directory: Path) -> None:
        self.name = name
        self._command = command
        self._env = {**clean_environment(), **variables}
        self._log = directory / f"{name}.log"
        self._record = directory / f"{name}.json"
        self._child: ChildProcess | None = None

    @property
    def pid(self) -> int:
        assert self._child is not None, f"{self.name} was not started"
        return self._child.pid

    @property
    def is_running(self) -> bool:
        return self._child is not None and self._child.is_running

    def start(self) -> None:
        """Start it, without waiting."""
        self._child = spawn(self.name, self._command, log_path=self._log, record_path=self._record, env=self._env)

    def stop(self) -> None:
        """Ask it to end and wait until it has."""
        if self._child is not None:
            self._child.block_until_stopped()

    def kill(self) -> None:
        """End it as ``kill -9`` does."""
        assert self._child is not None, f"{self.name} was not started"
        self._child.block_until_stopped(stop_signal=signal.SIGKILL)

    def send(self, number: signal.Signals) -> None:
        """Send a signal and do not wait."""
        os.kill(self.pid, number)

    def exit_code(self, timeout_seconds: float = 30.0) -> int:
        """Wait until it has ended by itself."""
        assert self._child is not None, f"{self.name} was not started"
        return self._child.block_until_ended(timeout_seconds)

    def log(self) -> str:
        """What it wrote, over all its lives."""
        return self._log.read_text(errors="replace") if self._log.exists() else ""

    def first_line(self) -> str | None:
        """The first whole line that it wrote."""
        text = self.log()
        return text.splitlines()[0] if "\n" in text else None


def flow2api(name: str, *arguments: str, variables: Mapping[str, str], directory: Path) -> Program:
    """The ``flow2api`` command with only the settings in ``variables``."""
    directory.mkdir(parents=True, exist_ok=True)
    return Program(name, (flow2api_executable(), *arguments), variables, directory)


def run_flow2api(
    *arguments: str, variables: Mapping[str, str], timeout: float = 60.0
) -> subprocess.CompletedProcess[str]:
    """Run a short ``flow2api`` command to its end."""
    return subprocess.run(  # noqa: S603 - our own program
        [flow2api_executable(), *arguments],
        env={**clean_environment(), **variables},
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


def flow2api_executable() -> str:
    return str(Path(sys.executable).with_name("flow2api"))


def clean_environment() -> dict[str, str]:
    """The environment without settings of whoever runs the tests."""
    return {name: value for name, value in os.environ.items() if not name.startswith("FLOW2API_")}


def block_until(check: Callable[[], bool], *programs: Program, timeout: float = START_TIMEOUT_SECONDS) -> None:
    """Poll ``check``; fail when one of ``programs`` ends meanwhile, or after ``timeout`` seconds."""
    deadline = time.monotonic() + timeout
    while not check():
        for program in programs:
            assert program.is_running, f"{program.name} ended:\n{program.log()[-4000:]}"
        logs = "\n".join(f"--- {program.name}\n{program.log()[-3000:]}" for program in programs)
        assert time.monotonic() < deadline, f"not within {timeout:g} s\n{logs}"
        time.sleep(_PAUSE_SECONDS)


def is_ready(base_url: str) -> bool:
    """Whether a gateway there can do its work."""
    try:
        return httpx.get(f"{base_url}/readyz", timeout=5, trust_env=False).is_success
    except httpx.HTTPError:
        return False


def free_port() -> int:
    """A loopback port that nobody listens on just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
