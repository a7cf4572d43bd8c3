"""NATS JetStream as every service uses it: one connection, acknowledged publishing, bounded pulling."""

from flow2api_common.nats_connection import NatsConnection, nats_connection
from flow2api_common.nats_consumer import PullConsumer
from flow2api_common.nats_delivery import Delivery
from flow2api_common.nats_worker import PullWorker

__all__ = ["Delivery", "NatsConnection", "PullConsumer", "PullWorker", "nats_connection"]
