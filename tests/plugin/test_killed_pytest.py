"""A test run that is killed leaves no server behind."""

from __future__ import annotations

import sys
from pathlib import Path

import psutil
import pytest

from flow2api_testing.programs import Program, block_until, clean_environment
from flow2api_testing.waiting import eventually

TEST = """
import time

def test_that_hangs(redis_url, nats_url, postgres_url, tmp_path_factory):
    print("all up", flush=True)
    time.sleep(600)
"""
SERVERS = {"redis-server", "nats-server", "postgres"}


@pytest.mark.skipif(sys.platform != "linux", reason="children are bound to their parent by the Linux kernel")
async def test_servers_die_with_a_killed_pytest(tmp_path: Path, pytestconfig: pytest.Config) -> None:
    (tmp_path / "test_hanging.py").write_text(TEST)
    options = ["-s", "-p", "no:cacheprovider", "--basetemp", str(tmp_path / "base"), "-c", "/dev/null"]
    plugins = ["-p", "flow2api_testing", "--rootdir", str(tmp_path)]
    search_path = {"PYTHONPATH": str(pytestconfig.rootpath / "tests" / "plugins")}
    program = Program(
        "pytest",
        (sys.executable, "-m", "pytest", *options, *plugins, str(tmp_path / "test_hanging.py")),
        {**clean_environment(), **search_path},
        tmp_path,
    )
    program.start()
    try:
        block_until(lambda: "all up" in program.log(), program)
        servers = psutil.Process(program.pid).children(recursive=True)
        assert {server.name() for server in servers} == SERVERS
    finally:
        program.kill()
    await eventually(lambda: not any(is_alive(server) for server in servers))


def is_alive(process: psutil.Process) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
