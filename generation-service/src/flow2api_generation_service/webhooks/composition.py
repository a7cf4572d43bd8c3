"""Wires webhooks and runs the worker that delivers them."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from flow2api_common.clock import Clock
from flow2api_common.database import Database
from flow2api_common.lifecycle import BackgroundTasks, end_tasks
from flow2api_common.outbound.targets import Resolver, system_resolver
from flow2api_common.sealing import Seal
from flow2api_generation_service.webhooks.deliver import DeliveryWorker
from flow2api_generation_service.webhooks.endpoints import WebhookEndpoints
from flow2api_generation_service.webhooks.fan_out import FanOut
from flow2api_generation_service.webhooks.job_receiver import JobReceivers
from flow2api_generation_service.webhooks.ledger import WebhookLedger
from flow2api_generation_service.webhooks.post import WebhookSender
from flow2api_generation_service.webhooks.receivers import SEAL_OWNER, ReceiverAddresses, SigningSecrets
from flow2api_generation_service.webhooks.schedule import RetrySchedule
from flow2api_generation_service.webhooks.servicer import WebhookServicer
from flow2api_generation_service.webhooks.settings import WebhookSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class Webhooks:
    """What the rest of the service uses of webhooks."""

    servicer: WebhookServicer
    job_receivers: JobReceivers
    ledger: WebhookLedger


@asynccontextmanager
async def running_webhooks(
    *,
    settings: WebhookSettings,
    database: Database,
    tasks: BackgroundTasks,
    clock: Clock,
    resolve: Resolver = system_resolver,
) -> AsyncIterator[Webhooks]:
    """Webhooks, with the worker at work until this is left; ``tasks`` hears of its failure."""
    seal = Seal(settings.secret_key, owner=SEAL_OWNER)
    addresses = ReceiverAddresses(settings, resolve=resolve)
    secrets = SigningSecrets(settings, seal)
    sender = WebhookSender(settings=settings, addresses=addresses, clock=clock)
    ledger = WebhookLedger(database=database, settings=settings, clock=clock)
    worker = DeliveryWorker(
        database=database,
        fan_out=FanOut(database=database, settings=settings, clock=clock),
        sender=sender,
        secrets=secrets,
        schedule=RetrySchedule(settings.webhook_first_pause, settings.webhook_longest_pause, random.random),
        settings=settings,
        clock=clock,
    )
    endpoints = WebhookEndpoints(
        database=database, addresses=addresses, seal=seal, secrets=secrets, sender=sender, clock=clock
    )
    task = tasks.start("webhooks", worker.run())
    try:
        yield Webhooks(
            servicer=WebhookServicer(endpoints=endpoints, ledger=ledger, worker=worker),
            job_receivers=JobReceivers(addresses=addresses, secrets=secrets, seal=seal),
            ledger=ledger,
        )
    finally:
        # Before the connections that it uses are closed.
        await end_tasks([task])
        await sender.aclose()
