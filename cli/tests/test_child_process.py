"""Children end with us, and what an earlier run left behind is found again."""

from __future__ import annotations

import asyncio
import sys
from datetime import timedelta
from pathlib import Path

import psutil
import pytest

from flow2api_cli.child_process import ChildFailed, ChildProcess, end_orphan, spawn
from flow2api_testing.waiting import eventually

SLEEPER = (sys.executable, "-c", "import time; print('up', flush=True); time.sleep(600)")
STUBBORN = (
    sys.executable,
    "-c",
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(600)",
)
PARENT = """
import sys, time
from pathlib import Path
from flow2api_cli.child_process import spawn
directory = Path(sys.argv[1])
child = spawn("sleeper", ["sleep", "600"], log_path=directory / "log", record_path=directory / "record.json")
print(child.pid, flush=True)
time.sleep(600)
"""


def start(directory: Path, command: tuple[str, ...]) -> ChildProcess:
    return spawn("sleeper", command, log_path=directory / "log", record_path=directory / "record.json")


def is_up(directory: Path) -> bool:
    return (directory / "log").read_text() == "up\n"


async def test_stop_ends_the_child_and_its_record(tmp_path: Path) -> None:
    child = start(tmp_path, SLEEPER)
    await child.wait_until_ready(lambda: is_up(tmp_path))
    assert (tmp_path / "record.json").exists()
    await child.stop()
    assert not psutil.pid_exists(child.pid)
    assert not (tmp_path / "record.json").exists()


async def test_stop_insists_when_the_child_ignores_it(tmp_path: Path) -> None:
    child = start(tmp_path, STUBBORN)
    await child.wait_until_ready(lambda: is_up(tmp_path))
    await child.stop(timedelta(milliseconds=50))
    assert not child.is_running


async def test_wait_tells_how_a_child_ended_and_what_it_wrote_last(tmp_path: Path) -> None:
    child = start(tmp_path, (sys.executable, "-c", "import sys; sys.exit('the disk is full')"))
    with pytest.raises(ChildFailed, match="sleeper ended with code 1: the disk is full"):
        await asyncio.wait_for(child.wait(), 20)


async def test_waiting_for_a_child_that_ends_fails_at_once(tmp_path: Path) -> None:
    child = start(tmp_path, (sys.executable, "-c", "raise SystemExit(3)"))
    with pytest.raises(ChildFailed, match="code 3"):
        await child.wait_until_ready(lambda: False)


async def test_waiting_for_a_child_that_is_never_ready_ends(tmp_path: Path) -> None:
    child = start(tmp_path, SLEEPER)
    with pytest.raises(ChildFailed, match="not ready in time"):
        await child.wait_until_ready(lambda: False, timedelta(milliseconds=50))
    await child.stop()


@pytest.mark.skipif(sys.platform != "linux", reason="children are bound to their parent by the Linux kernel")
async def test_child_dies_when_the_parent_is_killed(tmp_path: Path) -> None:
    command = (sys.executable, "-c", PARENT, str(tmp_path))
    parent = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    assert parent.stdout is not None
    child_pid = int(await parent.stdout.readline())
    assert psutil.pid_exists(child_pid)
    parent.kill()
    await parent.wait()
    await eventually(lambda: is_gone(child_pid))


def test_starting_again_ends_the_orphan_of_an_earlier_run(tmp_path: Path) -> None:
    orphan = start(tmp_path, SLEEPER)
    successor = start(tmp_path, SLEEPER)
    assert not orphan.is_running
    assert successor.is_running
    successor.block_until_stopped()


def test_a_pid_that_another_program_has_now_is_left_alone(tmp_path: Path) -> None:
    child = start(tmp_path, SLEEPER)
    other = tmp_path / "other.json"
    other.write_text(f'{{"pid": {child.pid}, "started": 1.0}}')
    assert end_orphan(other) is False
    assert child.is_running
    child.block_until_stopped()


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"pid": "x", "started": 1}', '{"pid": 0'])
def test_a_broken_record_names_nobody(tmp_path: Path, content: str) -> None:
    record = tmp_path / "record.json"
    record.write_text(content)
    assert end_orphan(record) is False
    assert not record.exists()


def is_gone(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
