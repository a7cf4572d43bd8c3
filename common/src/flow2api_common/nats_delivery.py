"""One message that JetStream delivered, to be settled once: acknowledged, given back, or terminated."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import timedelta

from nats.aio.client import Client
from nats.aio.msg import Msg
from prometheus_client import Counter

from flow2api_common.logs import get_logger, redact
from flow2api_common.nats_errors import nats_errors

log = get_logger(__name__)

SETTLED_TOTAL = Counter("flow2api_nats_settled_total", "Deliveries settled, by how", ["consumer", "how"])

# Source: NATS documentation, "JetStream wire API reference", section "Acknowledging messages".
_ACK = b"+ACK"
_NAK = b"-NAK"
_TERM = b"+TERM"
_IN_PROGRESS = b"+WPI"


class Delivery:
    """``subject``, ``data``, ``headers`` (lower-case names), and how often it was delivered (1 at first).

    Settling raises DependencyUnavailable when the connection is closed; the message then comes again after the
    consumer's ack wait. While NATS is only away for a moment, settling is kept and sent when it is back.
    """

    def __init__(self, client: Client, message: Msg) -> None:
        self._client = client
        self._reply = message.reply
        metadata = message.metadata
        self._consumer = metadata.consumer
        self.subject: str = message.subject
        self.data: bytes = message.data
        self.headers: Mapping[str, str] = {key.lower(): value for key, value in (message.headers or {}).items()}
        self.delivery_count: int = metadata.num_delivered
        self.stream_sequence: int = metadata.sequence.stream
        self.is_settled = False

    def __repr__(self) -> str:
        return f"<Delivery {self.subject} sequence={self.stream_sequence} count={self.delivery_count}>"

    async def ack(self) -> None:
        """It is done, and never comes again."""
        await self._settle(_ACK, "ack")

    async def nak(self, delay: timedelta) -> None:
        """It comes again after ``delay``."""
        nanoseconds = delay // timedelta(microseconds=1) * 1000
        await self._settle(_NAK + b" " + json.dumps({"delay": max(nanoseconds, 0)}).encode(), "nak")

    async def term(self, reason: str) -> None:
        """It can never be done and does not come again; an error entry and the count of ``term`` keep it visible."""
        log.error(
            "delivery_terminated",
            consumer=self._consumer,
            subject=self.subject,
            stream_sequence=self.stream_sequence,
            delivery_count=self.delivery_count,
            reason=reason,
        )
        await self._settle(f"{_TERM.decode()} {redact(reason)}".encode(), "term")

    async def in_progress(self) -> None:
        """It is still worked on: the ack wait begins anew."""
        with nats_errors():
            await self._client.publish(self._reply, _IN_PROGRESS)

    async def _settle(self, payload: bytes, how: str) -> None:
        if self.is_settled:
            return
        with nats_errors():
            await self._client.publish(self._reply, payload)
        self.is_settled = True
        SETTLED_TOTAL.labels(self._consumer, how).inc()
