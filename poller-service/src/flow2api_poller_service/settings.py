"""The settings of the poller."""

from __future__ import annotations

from datetime import timedelta

from pydantic import Field

from flow2api_common.grpc_tls import GrpcClientTlsSettings
from flow2api_common.settings import (
    BaseServiceSettings,
    Duration,
    MediaSettings,
    NatsSettings,
    Pause,
    ServiceAuthSettings,
    TokenClientSettings,
)
from flow2api_upstream.settings import UpstreamSettings


class FollowSettings(BaseServiceSettings):
    """How submitted videos are followed. Durations are seconds, or ISO 8601 such as ``PT5M``."""

    video_poll_interval: Duration | None = None
    """Fixed delay before every look; unset: chosen by how long the model has taken lately."""
    poller_look_cost: Duration = timedelta(milliseconds=750)
    """How much longer a finished clip may wait to be seen if that saves one look at it. More means fewer looks."""
    poller_shortest_delay: Duration = timedelta(seconds=1)
    """Shortest pause between two looks at one operation."""
    poller_longest_delay: Duration = timedelta(minutes=2)
    """Longest pause between two looks at one operation."""
    poller_max_in_flight: int = Field(default=2000, ge=1)
    """Messages in hand at the same time; the others wait on JetStream."""
    poller_batch: int = Field(default=1000, ge=1, le=1000)
    """Messages that are taken, and leases that are renewed, in one go."""
    poller_linger: Pause = timedelta(milliseconds=100)
    """How long due messages are collected, so that one call asks about many."""
    poller_check_concurrency: int = Field(default=64, ge=1)
    """Status calls at the same time."""
    poller_store_concurrency: int = Field(default=8, ge=1)
    """Clips that are stored at the same time."""
    poller_ack_wait: Duration = timedelta(seconds=30)
    """After this JetStream gives the message of a dead poller to another one."""
    poller_credential_ttl: Pause = timedelta(seconds=30)
    """How long a credential is used before it is asked for again."""
    poller_lease_margin: Duration = timedelta(seconds=90)
    """How much longer than until the next look a lease lives, so that a restart does not lose it."""
    poller_hold_unfinished: Pause = timedelta(minutes=10)
    """How long after its submission a clip that was given up keeps the room of its account: the upstream may still be
    at work, and would see one clip too many."""
    poller_store_patience: Duration = timedelta(minutes=5)
    """How long a finished clip that cannot be fetched is asked for again."""
    poller_store_retry: Duration = timedelta(seconds=5)
    """Pause before it is."""
    poller_still_processes: int = Field(default=2, ge=0, le=64)
    """Processes that look whether clips play and make their thumbnails; 0: clips are not decoded and have none."""
    poller_still_time_limit: Duration = timedelta(seconds=20)
    """How long one clip is looked at; a clip that takes longer is stored without pictures."""
    video_max_bytes: int = Field(default=2 * 1024 * 1024 * 1024, ge=1024)
    """Largest clip that is stored."""


class PollerServiceSettings(
    FollowSettings,
    ServiceAuthSettings,
    GrpcClientTlsSettings,
    TokenClientSettings,
    NatsSettings,
    MediaSettings,
    UpstreamSettings,
):
    """Everything."""
