"""Carries out what a plan breaks, and puts it right again."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

import httpx

from flow2api_chaos.plan import Action, Strike
from flow2api_chaos.system import ChaosSystem


@dataclass(frozen=True, slots=True)
class Injected:
    """What was done, and when after the begin of the run."""

    at_seconds: float
    what: str


class Striker:
    """Breaks things at their times. ``injected`` is the diary."""

    def __init__(self, system: ChaosSystem) -> None:
        self._system = system
        self._begin = asyncio.get_running_loop().time()
        self.injected: list[Injected] = []

    async def run(self, strikes: Sequence[Strike]) -> None:
        """Do all of it; at the end everything runs and the network is whole."""
        async with asyncio.TaskGroup() as group:
            for strike in strikes:
                await asyncio.sleep(self._begin + strike.at_seconds - asyncio.get_running_loop().time())
                group.create_task(self._strike(strike), name=str(strike))
        self._system.upstream.mend()

    async def _strike(self, strike: Strike) -> None:
        self.injected.append(Injected(round(asyncio.get_running_loop().time() - self._begin, 1), str(strike)))
        match strike.action:
            case Action.KILL | Action.EMPTY:
                await self._kill(strike)
            case Action.CUT:
                self._system.upstream.cut()
            case Action.STALL:
                self._system.upstream.stall()
            case Action.RESET:
                self._system.upstream.reset()
            case Action.SPOIL:
                await asyncio.to_thread(self._spoil, strike)
        if strike.action in {Action.CUT, Action.STALL}:
            await asyncio.sleep(strike.seconds)
            self._system.upstream.mend()

    async def _kill(self, strike: Strike) -> None:
        part = self._system.parts[strike.target]
        part.kill()
        await asyncio.sleep(strike.seconds)
        if strike.action is Action.EMPTY:
            self._system.redis.empty()
        # From the main thread: a child ends with the thread that has started it.
        part.start()

    def _spoil(self, strike: Strike) -> None:
        url = f"{self._system.sandbox.urls['control_url']}/faults"
        httpx.post(url, json=dict(strike.rule), trust_env=False).raise_for_status()
