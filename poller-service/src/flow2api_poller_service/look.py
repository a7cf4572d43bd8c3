"""One operation in hand: its message, and what was carried along from earlier looks."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from flow2api_common.nats_client import Delivery
from flow2api_poller_service.carry import Carried
from flow2api_poller_service.schedule import Schedule, Subject
from flow2api_proto.events.v1 import video_events_pb2
from flow2api_upstream.port import OperationHandle


@dataclass(frozen=True, slots=True, eq=False)
class Look:
    """A delivered ``video.poll`` message, read."""

    delivery: Delivery
    message: video_events_pb2.PollVideo
    carried: Carried

    @classmethod
    def of(cls, delivery: Delivery) -> Look:
        """Read a message. Raises google.protobuf's DecodeError."""
        message = video_events_pb2.PollVideo.FromString(delivery.data)
        return cls(delivery, message, Carried.of(delivery.headers))

    @property
    def token_id(self) -> int:
        """The token to ask with."""
        return self.message.lease.token_id

    @property
    def operation(self) -> OperationHandle:
        """What to ask about."""
        return OperationHandle(self.message.operation_handle)

    @property
    def submit_time(self) -> datetime:
        """When the upstream accepted it."""
        return self.message.submit_time.ToDatetime(tzinfo=UTC)

    @property
    def deadline_time(self) -> datetime:
        """When following it ends."""
        return self.message.deadline_time.ToDatetime(tzinfo=UTC)

    @property
    def subject(self) -> Subject:
        """It, as the schedule sees it."""
        return Subject(
            token_id=self.token_id,
            submit_time=self.submit_time,
            quantiles=tuple(each / 1000 for each in self.message.duration_quantiles_ms),
            usual=self.message.typical_duration_ms / 1000,
        )

    def due_time(self, schedule: Schedule) -> datetime:
        """When it is to be looked at first."""
        if self.carried.not_before is not None:
            return self.carried.not_before
        return schedule.first_look(self.subject)
