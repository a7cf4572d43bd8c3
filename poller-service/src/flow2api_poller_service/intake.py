"""Sorts what JetStream brings: unreadable, not due yet, or due and grouped by token."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import timedelta

from google.protobuf.message import DecodeError

from flow2api_common.clock import Clock
from flow2api_common.logs import get_logger
from flow2api_common.nats_client import Delivery
from flow2api_poller_service.look import Look
from flow2api_poller_service.schedule import Schedule

log = get_logger(__name__)


async def take_due(deliveries: Sequence[Delivery], *, clock: Clock, schedule: Schedule) -> list[Look]:
    """The looks that are due; the others are given back to JetStream until they are."""
    due: list[Look] = []
    for delivery in deliveries:
        try:
            look = Look.of(delivery)
        except DecodeError:
            await delivery.term("not a PollVideo message")
            continue
        early = look.due_time(schedule) - clock()
        if early > timedelta(0):
            await delivery.nak(early)
        else:
            due.append(look)
    return due


def by_token(looks: Sequence[Look]) -> dict[tuple[str, int], list[Look]]:
    """Looks that one upstream call can answer: of one provider and one token."""
    groups: dict[tuple[str, int], list[Look]] = defaultdict(list)
    for look in looks:
        groups[look.message.provider, look.token_id].append(look)
    return groups


def chunks(looks: Sequence[Look], size: int) -> Iterator[Sequence[Look]]:
    """No more than the upstream takes in one call."""
    for start in range(0, len(looks), size):
        yield looks[start : start + size]
