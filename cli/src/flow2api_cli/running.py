"""Running a long-lived program: its event loop, its signals, its exit code."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Coroutine
from typing import Any

import uvloop

EXIT_OK = 0
EXIT_FAILED = 1
EXIT_USAGE = 2
_EXIT_INTERRUPTED = 130
_SIGNALS = (signal.SIGINT, signal.SIGTERM)


def run_until_stopped(program: Coroutine[Any, Any, None]) -> int:
    """Run ``program`` on uvloop until it ends or a signal comes; give the exit code.

    The first SIGINT or SIGTERM cancels the program, which then stops what it started, in order; the second ends the
    process at once, and its child servers with it. What the program raises comes out.
    """
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_with_signals(program))


async def _with_signals(program: Coroutine[Any, Any, None]) -> int:
    loop = asyncio.get_running_loop()
    was_asked_to_stop = False
    task = asyncio.create_task(program, name="program")

    def on_signal() -> None:
        nonlocal was_asked_to_stop
        if was_asked_to_stop:
            os._exit(_EXIT_INTERRUPTED)
        was_asked_to_stop = True
        task.cancel()

    for number in _SIGNALS:
        loop.add_signal_handler(number, on_signal)
    try:
        await task
    except asyncio.CancelledError:
        if not was_asked_to_stop:
            raise
    finally:
        for number in _SIGNALS:
            loop.remove_signal_handler(number)
    return EXIT_OK
