"""Sorts what JetStream brings: unreadable, not due yet, or due and grouped by token."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import timedelta
from typing import TypeAlias

from google.protobuf.message import DecodeError

from flow2api_common.clock import Clock
from flow2api_common.logs import get_logger
from flow2api_common.nats_client import Delivery
from flow2api_poller_service.look import Look
from flow2api_poller_service.schedule import Schedule

log = get_logger(__name__)

TokenKey: TypeAlias = tuple[str, int]
"""A provider and one of its tokens."""


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


def by_token(looks: Sequence[Look]) -> dict[TokenKey, list[Look]]:
    """Looks that one upstream call can answer: of one provider and one token."""
    groups: dict[TokenKey, list[Look]] = defaultdict(list)
    for look in looks:
        groups[look.message.provider, look.token_id].append(look)
    return groups
