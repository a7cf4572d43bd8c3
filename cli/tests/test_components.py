"""A mode is a table: start order, stop order, failure."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import pytest

from flow2api_cli.components import (
    Component,
    ComponentFailed,
    ConnectionSettings,
    Started,
    running_components,
    start_order,
)


class Table:
    """Components that write down what happens to them."""

    def __init__(self, **requires: tuple[str, ...]) -> None:
        self.events: list[str] = []
        self.seen: dict[str, ConnectionSettings] = {}
        self.failing: dict[str, asyncio.Future[None]] = {}
        self.table: Mapping[str, Component] = {
            name: Component(name=name, requires=required, start=self._starter(name))
            for name, required in requires.items()
        }

    def _starter(self, name: str):
        @asynccontextmanager
        async def start(connections: ConnectionSettings) -> AsyncIterator[Started]:
            self.seen[name] = dict(connections)
            self.events.append(f"+{name}")
            if name == "broken":
                raise RuntimeError("no such host")
            try:
                yield Started(wait=lambda: self.failure(name), provides={f"{name}_url": f"at {name}"})
            finally:
                self.events.append(f"-{name}")

        return start

    def failure(self, name: str) -> asyncio.Future[None]:
        return self.failing.setdefault(name, asyncio.get_running_loop().create_future())


def test_start_order_follows_requirements_inside_the_mode() -> None:
    table = Table(gateway=("service", "elsewhere"), service=("store",), store=()).table
    assert start_order(table, ["gateway", "store", "service"]) == ["store", "service", "gateway"]
    assert start_order(table, ["gateway"]) == ["gateway"]


def test_start_order_refuses_circles_and_unknown_names() -> None:
    table = Table(a=("b",), b=("a",)).table
    with pytest.raises(ValueError, match="requires itself"):
        start_order(table, ["a", "b"])
    with pytest.raises(ValueError, match="unknown components: c"):
        start_order(table, ["c"])


async def test_components_stop_in_reverse_and_learn_what_came_before() -> None:
    table = Table(gateway=("service",), service=("store",), store=())
    async with running_components(table.table, ["gateway", "service", "store"], {"port": 1}) as running:
        assert running.connections["gateway_url"] == "at gateway"
    assert table.events == ["+store", "+service", "+gateway", "-gateway", "-service", "-store"]
    assert table.seen["service"] == {"port": 1, "store_url": "at store"}


async def test_a_component_that_does_not_start_stops_those_before_it() -> None:
    table = Table(store=(), broken=("store",))
    with pytest.raises(ComponentFailed, match="broken did not start: no such host"):
        async with running_components(table.table, ["store", "broken"], {}):
            pytest.fail("must not be entered")
    assert table.events == ["+store", "+broken", "-store"]


async def test_one_failed_component_ends_the_wait() -> None:
    table = Table(store=(), service=("store",))
    async with running_components(table.table, ["service", "store"], {}) as running:
        table.failure("store").set_exception(ConnectionError("the disk is full"))
        with pytest.raises(ExceptionGroup) as caught:
            await running.wait()
    assert [str(error) for error in caught.value.exceptions] == ["store failed: the disk is full"]


async def test_a_component_that_stops_by_itself_has_failed() -> None:
    table = Table(service=())
    async with running_components(table.table, ["service"], {}) as running:
        table.failure("service").set_result(None)
        with pytest.raises(ExceptionGroup) as caught:
            await running.wait()
    assert [str(error) for error in caught.value.exceptions] == ["service stopped by itself"]
