"""Server programs as children that never outlive us.

A child is bound to the life of the thread that spawned it (PR_SET_PDEATHSIG, set by util-linux' setpriv before the
program starts), so that even ``kill -9`` of the parent leaves no orphan: spawn from the main thread. Where setpriv is
missing, the child's pid and start time, kept in ``record_path``, let the next start end the orphan.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from pathlib import Path

import psutil

STOP_GRACE = timedelta(seconds=5)
READY_TIMEOUT = timedelta(seconds=30)
_POLL_SECONDS = 0.02
_WATCH_SECONDS = 0.25
_START_TIME_TOLERANCE_SECONDS = 1.0
_LOG_TAIL_BYTES = 2000


class ChildFailed(RuntimeError):
    """A child could not be started or ended by itself; the message names the child and the end of its log."""


class ChildProcess:
    """One running child. ``stop`` may be called at any time and more than once."""

    def __init__(self, *, name: str, process: subprocess.Popen[bytes], log_path: Path, record_path: Path) -> None:
        self.name = name
        self._process = process
        self._log_path = log_path
        self._record_path = record_path

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def is_running(self) -> bool:
        return self._process.poll() is None

    def failure(self) -> ChildFailed:
        """Describe how the child ended, with the last lines that it wrote."""
        return ChildFailed(f"{self.name} ended with code {self._process.poll()}: {self._log_tail()}")

    async def wait(self) -> None:
        """Return never while the child runs; raise ChildFailed when it has ended."""
        while self.is_running:  # noqa: ASYNC110 - a process that is no child of the event loop has no event
            await asyncio.sleep(_WATCH_SECONDS)
        raise self.failure()

    async def wait_until_ready(self, is_ready: Callable[[], bool], timeout: timedelta = READY_TIMEOUT) -> None:
        """Poll ``is_ready`` in a worker thread until it holds. Raises ChildFailed when the child ends or is slow."""
        deadline = time.monotonic() + timeout.total_seconds()
        while not await asyncio.to_thread(is_ready):
            self._check_still_starting(deadline)
            await asyncio.sleep(_POLL_SECONDS)

    def block_until_ready(self, is_ready: Callable[[], bool], timeout: timedelta = READY_TIMEOUT) -> None:
        """The same as ``wait_until_ready`` for callers without an event loop."""
        deadline = time.monotonic() + timeout.total_seconds()
        while not is_ready():
            self._check_still_starting(deadline)
            time.sleep(_POLL_SECONDS)

    def block_until_done(self, timeout: timedelta = READY_TIMEOUT) -> None:
        """For a program that ends by itself: wait for its success. Raises ChildFailed."""
        if self.block_until_ended(timeout.total_seconds()) != 0:
            raise self.failure()

    def block_until_ended(self, timeout_seconds: float) -> int:
        """Give the exit code of a child that ends by itself. Raises ChildFailed when it does not."""
        try:
            code = self._process.wait(timeout_seconds)
        except subprocess.TimeoutExpired as exc:
            raise ChildFailed(f"{self.name} still runs after {timeout_seconds:g} s: {self._log_tail()}") from exc
        self._record_path.unlink(missing_ok=True)
        return code

    async def stop(self, grace: timedelta = STOP_GRACE, *, stop_signal: signal.Signals = signal.SIGTERM) -> None:
        """Ask to end, insist after ``grace``; returns when the child is gone."""
        await asyncio.to_thread(self.block_until_stopped, grace, stop_signal=stop_signal)

    def block_until_stopped(
        self, grace: timedelta = STOP_GRACE, *, stop_signal: signal.Signals = signal.SIGTERM
    ) -> None:
        """The same as ``stop`` for callers without an event loop."""
        if self.is_running:
            self._process.send_signal(stop_signal)
            try:
                self._process.wait(grace.total_seconds())
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._record_path.unlink(missing_ok=True)

    def _check_still_starting(self, deadline: float) -> None:
        if not self.is_running:
            raise self.failure()
        if time.monotonic() > deadline:
            raise ChildFailed(f"{self.name} is not ready in time: {self._log_tail()}")

    def _log_tail(self) -> str:
        with contextlib.suppress(OSError):
            return self._log_path.read_bytes()[-_LOG_TAIL_BYTES:].decode(errors="replace").strip() or "it wrote nothing"
        return "no log"


def spawn(
    name: str,
    command: Sequence[str],
    *,
    log_path: Path,
    record_path: Path,
    env: Mapping[str, str] | None = None,
    user: tuple[int, int] | None = None,
    death_signal: signal.Signals = signal.SIGKILL,
) -> ChildProcess:
    """Start ``command`` in a session of its own (a Ctrl-C in the terminal reaches us, not the child).

    ``user`` is a (uid, gid) to run as; only root may ask for it. ``death_signal`` is what the kernel sends when the
    spawning thread dies. Output is appended to ``log_path``. An orphan named by ``record_path`` is ended first.
    """
    end_orphan(record_path)
    with log_path.open("ab") as log:
        process = subprocess.Popen(  # noqa: S603 - the command is ours, no shell
            [*_bound_to_parent(user, death_signal), *command],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=dict(env) if env is not None else None,
            start_new_session=True,
        )
    child = ChildProcess(name=name, process=process, log_path=log_path, record_path=record_path)
    with contextlib.suppress(psutil.NoSuchProcess):
        _write_record(record_path, process.pid, psutil.Process(process.pid).create_time())
    return child


def end_orphan(record_path: Path) -> bool:
    """End the process that an earlier run recorded, when it still is that process; true when there was one.

    A pid used again by another program is told apart by its start time.
    """
    try:
        record = json.loads(record_path.read_text())
        process = psutil.Process(int(record["pid"]))
        is_ours = abs(process.create_time() - float(record["started"])) < _START_TIME_TOLERANCE_SECONDS
        if is_ours:
            process.kill()
            process.wait(STOP_GRACE.total_seconds())
    except (OSError, ValueError, KeyError, TypeError, psutil.NoSuchProcess):
        is_ours = False
    record_path.unlink(missing_ok=True)
    return is_ours


def _bound_to_parent(user: tuple[int, int] | None, death_signal: signal.Signals) -> list[str]:
    setpriv = shutil.which("setpriv", path=os.pathsep.join([os.environ.get("PATH", ""), "/usr/bin", "/bin"]))
    if setpriv is None:
        if user is not None:
            raise ChildFailed("running a server as another user needs setpriv (util-linux)")
        return []
    arguments = [setpriv, "--pdeathsig", death_signal.name.removeprefix("SIG")]
    if user is not None:
        uid, gid = user
        arguments += ["--reuid", str(uid), "--regid", str(gid), "--clear-groups"]
    return [*arguments, "--"]


def _write_record(record_path: Path, pid: int, started: float) -> None:
    record_path.write_text(json.dumps({"pid": pid, "started": started}))
