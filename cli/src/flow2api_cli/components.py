"""A mode as data: a table of components, started in the order of their dependencies, stopped in reverse.

What a component learns by starting (an address, a URL) it provides as connection settings to the components after it;
nothing else passes between them, so that a component cannot tell one mode from another.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TypeAlias

ConnectionSettings: TypeAlias = Mapping[str, object]


class ComponentFailed(RuntimeError):
    """A component did not start or stopped working; the cause is chained."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Started:
    """A component at work. ``wait`` returns never while all is well, and raises what made it fail."""

    wait: Callable[[], Awaitable[None]] | None = None
    provides: ConnectionSettings = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True, slots=True, kw_only=True)
class Component:
    """One part of the system; ``requires`` names the parts that start before it when the mode has them."""

    name: str
    requires: tuple[str, ...] = ()
    start: Callable[[ConnectionSettings], AbstractAsyncContextManager[Started]]


@dataclass(frozen=True, slots=True)
class RunningComponents:
    """Components at work and the connection settings that have come together."""

    started: Mapping[str, Started]
    connections: ConnectionSettings

    async def wait(self) -> None:
        """Return never while all components work. Raises ComponentFailed when the first one stops."""
        async with asyncio.TaskGroup() as group:
            for name, component in self.started.items():
                if component.wait is not None:
                    group.create_task(_watch(name, component.wait), name=f"watch {name}")
            await asyncio.Event().wait()


@asynccontextmanager
async def running_components(
    table: Mapping[str, Component],
    names: Sequence[str],
    connections: ConnectionSettings,
    *,
    on_start: Callable[[str], None] = lambda _name: None,
) -> AsyncIterator[RunningComponents]:
    """Start the named components; at the end of the block stop them in reverse order. Raises ComponentFailed."""
    known = dict(connections)
    started: dict[str, Started] = {}
    async with AsyncExitStack() as stack:
        for name in start_order(table, names):
            on_start(name)
            try:
                started[name] = await stack.enter_async_context(table[name].start(MappingProxyType(known)))
            except Exception as exc:
                raise ComponentFailed(f"{name} did not start: {exc}") from exc
            known.update(started[name].provides)
        yield RunningComponents(started, MappingProxyType(known))


def start_order(table: Mapping[str, Component], names: Iterable[str]) -> list[str]:
    """Order ``names`` so that each follows what it requires; parts that the mode does not have are somewhere else.

    Raises ValueError on a name that the table lacks and on a circle.
    """
    wanted = list(dict.fromkeys(names))
    unknown = [name for name in wanted if name not in table]
    if unknown:
        raise ValueError(f"unknown components: {', '.join(unknown)}")
    ordered: list[str] = []
    visiting: set[str] = set()

    def visit(name: str) -> None:
        if name in ordered:
            return
        if name in visiting:
            raise ValueError(f"{name} requires itself")
        visiting.add(name)
        for required in table[name].requires:
            if required in wanted:
                visit(required)
        ordered.append(name)

    for name in wanted:
        visit(name)
    return ordered


async def _watch(name: str, wait: Callable[[], Awaitable[None]]) -> None:
    try:
        await wait()
    except Exception as exc:
        raise ComponentFailed(f"{name} failed: {exc}") from exc
    raise ComponentFailed(f"{name} stopped by itself")
