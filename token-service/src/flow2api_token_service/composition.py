"""The composition root: builds the service, starts it, and stops it in reverse."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import partial

from redis.asyncio import Redis

from flow2api_common.clock import Clock, utc_now
from flow2api_common.database import Database
from flow2api_common.errors import DependencyUnavailable
from flow2api_common.grpc_server import GrpcServer
from flow2api_common.lifecycle import BackgroundTasks, RunningService
from flow2api_proto.access.v1 import access_service_pb2, access_service_pb2_grpc
from flow2api_proto.tokens.v1 import (
    project_service_pb2,
    project_service_pb2_grpc,
    proxy_service_pb2,
    proxy_service_pb2_grpc,
    token_service_pb2,
    token_service_pb2_grpc,
)
from flow2api_token_service.access.admin_accounts import AdminAccounts
from flow2api_token_service.access.admins import Admins
from flow2api_token_service.access.api_keys import ApiKeys
from flow2api_token_service.access.authorize import Authorizer
from flow2api_token_service.access.bootstrap import Bootstrap
from flow2api_token_service.access.changes import AccessChanges
from flow2api_token_service.access.ended_keys import EndedKeys
from flow2api_token_service.access.login_limit import LoginLimit
from flow2api_token_service.access.passwords import Passwords
from flow2api_token_service.access.request_limit import RequestLimit
from flow2api_token_service.access.secrets import SecretHasher
from flow2api_token_service.access.servicer import AccessServicer
from flow2api_token_service.access.sessions import Sessions
from flow2api_token_service.audit.audit_log import AuditLog
from flow2api_token_service.background import Loops
from flow2api_token_service.credentials.provide import CredentialProvider
from flow2api_token_service.credentials.refresh import Refresher
from flow2api_token_service.credentials.refresh_pauses import RefreshPauses
from flow2api_token_service.credentials.rotation import RotatedSecrets
from flow2api_token_service.credentials.store import CredentialStore
from flow2api_token_service.credentials.upkeep import CredentialUpkeep
from flow2api_token_service.health.effects import HealthEffects
from flow2api_token_service.health.history import TokenHistory
from flow2api_token_service.leases.acquire import LeaseAcquirer
from flow2api_token_service.leases.model_limits import ModelLimits
from flow2api_token_service.leases.owned_tasks import OwnedTasks
from flow2api_token_service.leases.pool_index import PoolIndex
from flow2api_token_service.leases.queue import LeaseQueue
from flow2api_token_service.leases.rebuild import IndexBuilder
from flow2api_token_service.leases.redis_lock import RedisLocks
from flow2api_token_service.leases.release import LeaseReleaser
from flow2api_token_service.leases.renew import LeaseRenewer
from flow2api_token_service.leases.waiting_line import WaitingLine
from flow2api_token_service.models_base import SCHEMA
from flow2api_token_service.pool_upkeep import PoolUpkeep
from flow2api_token_service.projects.administration import ProjectAdministration
from flow2api_token_service.projects.ensure import ProjectKeeper
from flow2api_token_service.projects.servicer import ProjectServicer
from flow2api_token_service.projects.turns import ProjectTurns
from flow2api_token_service.proxies.checks import CHECK_INTERVAL
from flow2api_token_service.proxies.composition import ProxyParts, build_proxies
from flow2api_token_service.proxies.directory import RELOAD_INTERVAL
from flow2api_token_service.redis_client import open_redis, redis_errors
from flow2api_token_service.retention import Retention
from flow2api_token_service.secrets.hash_keys import HashKeys
from flow2api_token_service.secrets.key_check import KeyCheck, WrongSecretKey
from flow2api_token_service.secrets.vault import Vault
from flow2api_token_service.settings import TokenServiceSettings
from flow2api_token_service.stats.flush import StatsFlush
from flow2api_token_service.tokens.changes import TokenChanges
from flow2api_token_service.tokens.create import TokenCreator, TokenProver
from flow2api_token_service.tokens.export import TokenExporter
from flow2api_token_service.tokens.import_tokens import TokenImporter
from flow2api_token_service.tokens.read import TokenReader
from flow2api_token_service.tokens.servicer import TokenServicer
from flow2api_token_service.tokens.update import TokenEditor
from flow2api_upstream.registry import build_registry

_DRAIN = timedelta(seconds=5)
_LAST_FLUSH = timedelta(seconds=3)
_SERVICE_NAMES = (
    token_service_pb2.DESCRIPTOR.services_by_name["TokenService"].full_name,
    project_service_pb2.DESCRIPTOR.services_by_name["ProjectService"].full_name,
    proxy_service_pb2.DESCRIPTOR.services_by_name["ProxyService"].full_name,
    access_service_pb2.DESCRIPTOR.services_by_name["AccessService"].full_name,
)


@dataclass(frozen=True, slots=True)
class RunningTokenService:
    """The service while it serves; see `flow2api_common.lifecycle.RunningService`."""

    name: str
    address: str
    background: BackgroundTasks

    async def wait(self) -> None:
        """Raise what made a component fail; return never."""
        await self.background.wait()


@dataclass(frozen=True, slots=True)
class _Parts:
    """The object graph, as far as starting and stopping it needs it."""

    tokens: TokenServicer
    access: AccessServicer
    access_changes: AccessChanges
    ended_keys: EndedKeys
    projects: ProjectServicer
    proxies: ProxyParts
    queue: LeaseQueue
    refresher: Refresher
    key_check: KeyCheck
    bootstrap: Bootstrap
    builder: IndexBuilder
    pool_upkeep: PoolUpkeep
    credential_upkeep: CredentialUpkeep
    stats_flush: StatsFlush
    retention: Retention


@asynccontextmanager
async def running_token_service(
    settings: TokenServiceSettings, *, clock: Clock = utc_now
) -> AsyncIterator[RunningService]:
    """Serve while inside. The tables must be there (`flow2api_token_service.migrate`); stores may come and go."""
    async with AsyncExitStack() as stack:
        database = Database(settings.database_url, schema=SCHEMA)
        stack.push_async_callback(database.aclose)
        redis = open_redis(settings)
        stack.push_async_callback(redis.aclose)
        tasks = OwnedTasks()
        parts = await _build(settings, database=database, redis=redis, tasks=tasks, stack=stack, clock=clock)
        started = asyncio.Event()
        server = _server(settings, parts, readiness=_Readiness(database, redis, started))

        loops = Loops()
        background = await stack.enter_async_context(BackgroundTasks())
        stack.push_async_callback(loops.stop, _DRAIN)
        # From here on, in reverse: tell NOT_SERVING and drain, then end the background, then write the last counters.
        stack.push_async_callback(_flush_last, parts.stats_flush)
        stack.push_async_callback(tasks.aclose, _DRAIN)
        stack.push_async_callback(parts.refresher.aclose)
        background.start("lease-queue", parts.queue.serve())
        background.start("access-changes", parts.access_changes.serve())
        background.start("ended-keys", parts.ended_keys.run())
        address = await server.start()
        stack.push_async_callback(server.stop, _DRAIN)
        stack.callback(parts.queue.stop_waiting)
        stack.callback(parts.access_changes.close)

        await _start_up(parts, started, background, loops)
        _start_loops(parts, settings, background, loops)
        yield RunningTokenService("token", address, background)


class _Readiness:
    """Whether the service can do its work; raises what is in the way."""

    def __init__(self, database: Database, redis: Redis, started: asyncio.Event) -> None:
        self._database = database
        self._redis = redis
        self._started = started

    async def __call__(self) -> None:
        await self._database.ping()
        with redis_errors():
            await self._redis.ping()
        if not self._started.is_set():
            raise DependencyUnavailable("The pool is being read in.")


async def _build(
    settings: TokenServiceSettings,
    *,
    database: Database,
    redis: Redis,
    tasks: OwnedTasks,
    stack: AsyncExitStack,
    clock: Clock,
) -> _Parts:
    registry = build_registry(settings, clock=clock)
    stack.push_async_callback(registry.aclose)
    hash_keys = HashKeys()
    vault, hasher, locks = Vault(settings.secret_key, hash_keys), SecretHasher(hash_keys), RedisLocks(redis)
    key_check = KeyCheck(
        database=database, vault=vault, secret_key=settings.secret_key, hash_keys=hash_keys, clock=clock
    )
    index = PoolIndex(redis)
    changes = TokenChanges(
        database=database,
        index=index,
        clock=clock,
        quotas_per_project=[name for name in registry.names if registry.get(name).capabilities.quotas_per_project],
    )

    access_changes = AccessChanges(redis=redis)
    api_keys = ApiKeys(
        database=database, index=index, changes=access_changes, hasher=hasher, settings=settings, clock=clock
    )
    authorizer = Authorizer(api_keys=api_keys, limit=RequestLimit(redis=redis))
    passwords = Passwords()
    limit = LoginLimit(redis=redis, hasher=hasher)
    admins = Admins(database=database, passwords=passwords, hasher=hasher, limit=limit, settings=settings, clock=clock)
    bootstrap = Bootstrap(
        database=database,
        changes=access_changes,
        passwords=passwords,
        hasher=hasher,
        settings=settings,
        clock=clock,
    )

    store = CredentialStore(database=database, vault=vault, registry=registry)
    history, audit = TokenHistory(database=database), AuditLog(database=database, clock=clock)
    proxies = build_proxies(
        settings,
        database=database,
        vault=vault,
        locks=locks,
        token_changes=changes,
        store=store,
        audit=audit,
        stack=stack,
        clock=clock,
    )
    refresher = Refresher(
        store=store,
        changes=changes,
        registry=registry,
        router=proxies.router,
        vault=vault,
        locks=locks,
        rotated=RotatedSecrets(redis=redis, vault=vault),
        pauses=RefreshPauses(redis),
        margin=settings.refresh_margin,
        clock=clock,
    )
    projects = ProjectKeeper(
        store=store,
        changes=changes,
        registry=registry,
        router=proxies.router,
        locks=locks,
        projects_per_token=settings.projects_per_token,
        clock=clock,
    )
    credentials = CredentialProvider(
        store=store,
        refresher=refresher,
        router=proxies.router,
        projects=projects,
        turns=ProjectTurns(projects_per_token=settings.projects_per_token),
        clock=clock,
    )
    prover = TokenProver()

    builder = IndexBuilder(
        index=index,
        locks=locks,
        put_tokens=changes.put_all,
        put_keys=partial(api_keys.put_shares, replace_all=True),
        strategy=settings.lease_strategy,
        restore_limit=settings.lease_restore_limit,
    )
    line = WaitingLine(redis)
    queue = LeaseQueue(index=index, line=line, builder=builder, tasks=tasks, settings=settings)
    effects = HealthEffects(changes=changes, registry=registry)
    creator = TokenCreator(
        database=database,
        changes=changes,
        registry=registry,
        prover=prover,
        router=proxies.router,
        vault=vault,
        settings=settings,
        clock=clock,
    )
    tokens = TokenServicer(
        creator=creator,
        importer=TokenImporter(creator=creator),
        exporter=TokenExporter(database=database, vault=vault, clock=clock),
        editor=TokenEditor(
            database=database,
            changes=changes,
            store=store,
            registry=registry,
            prover=prover,
            router=proxies.router,
            vault=vault,
            settings=settings,
        ),
        reader=TokenReader(database=database, index=index, clock=clock),
        history=history,
        audit=audit,
        refresher=refresher,
        store=store,
        credentials=credentials,
        projects=projects,
        acquirer=LeaseAcquirer(
            index=index,
            queue=queue,
            limits=ModelLimits(settings.model_limits),
            credentials=credentials,
            changes=changes,
        ),
        renewer=LeaseRenewer(index=index, builder=builder, restore_grace=settings.lease_restore_grace),
        releaser=LeaseReleaser(index=index, effects=effects, proxy_reports=proxies.reports, tasks=tasks),
        proxy_reports=proxies.reports,
    )
    return _Parts(
        tokens=tokens,
        access=AccessServicer(
            api_keys=api_keys,
            authorizer=authorizer,
            changes=access_changes,
            admins=admins,
            accounts=AdminAccounts(database=database, passwords=passwords, clock=clock),
            sessions=Sessions(database=database, clock=clock),
            login_limit=limit,
            audit=audit,
            settings=settings,
        ),
        projects=ProjectServicer(
            administration=ProjectAdministration(
                database=database, changes=changes, store=store, registry=registry, keeper=projects, clock=clock
            ),
            audit=audit,
        ),
        access_changes=access_changes,
        ended_keys=EndedKeys(
            changes=access_changes, api_keys=api_keys, waiting=queue.waiting_keys, send_away=queue.send_away
        ),
        proxies=proxies,
        queue=queue,
        refresher=refresher,
        key_check=key_check,
        bootstrap=bootstrap,
        builder=builder,
        pool_upkeep=PoolUpkeep(index=index, builder=builder, changes=changes, api_keys=api_keys, clock=clock),
        credential_upkeep=CredentialUpkeep(
            database=database,
            store=store,
            refresher=refresher,
            router=proxies.router,
            changes=changes,
            registry=registry,
            locks=locks,
            projects=projects,
            settings=settings,
            clock=clock,
        ),
        stats_flush=StatsFlush(database=database, index=index, clock=clock),
        retention=Retention(history=history, audit=audit, settings=settings, clock=clock),
    )


def _server(settings: TokenServiceSettings, parts: _Parts, *, readiness: _Readiness) -> GrpcServer:
    server = GrpcServer(
        address=settings.token_addr,
        service_token=settings.service_token,
        service_names=_SERVICE_NAMES,
        readiness=readiness,
        tls=settings.server_tls,
    )
    server.register(lambda it: token_service_pb2_grpc.add_TokenServiceServicer_to_server(parts.tokens, it))
    server.register(lambda it: project_service_pb2_grpc.add_ProjectServiceServicer_to_server(parts.projects, it))
    server.register(lambda it: proxy_service_pb2_grpc.add_ProxyServiceServicer_to_server(parts.proxies.servicer, it))
    server.register(lambda it: access_service_pb2_grpc.add_AccessServiceServicer_to_server(parts.access, it))
    return server


async def _start_up(parts: _Parts, started: asyncio.Event, background: BackgroundTasks, loops: Loops) -> None:
    """Check the secret key, write what the settings name and build the index: now, or as soon as the stores are there.

    Raises WrongSecretKey, or lets the background fail with it.
    """

    async def start() -> None:
        await parts.key_check.run()
        await parts.bootstrap.run()
        await parts.proxies.directory.reload()
        await parts.builder.build()
        started.set()

    try:
        await start()
    except DependencyUnavailable:
        background.start("start-up", loops.until_done("start-up", start, fatal=(WrongSecretKey,)))


def _start_loops(parts: _Parts, settings: TokenServiceSettings, background: BackgroundTasks, loops: Loops) -> None:
    work_of_loops = (
        ("sweep", parts.pool_upkeep.sweep, settings.sweep_interval),
        ("resync", parts.pool_upkeep.resync, settings.resync_interval),
        ("proxies", parts.proxies.directory.reload, RELOAD_INTERVAL),
        ("proxy-checks", parts.proxies.checks.run_round, CHECK_INTERVAL),
        ("credentials", parts.credential_upkeep.run_round, settings.refresh_interval),
        ("stats", parts.stats_flush.run_round, settings.stats_interval),
        ("retention", parts.retention.run_round, settings.retention_interval),
    )
    for name, work, interval in work_of_loops:
        background.start(name, loops.repeat(name, work, interval=interval))


async def _flush_last(stats_flush: StatsFlush) -> None:
    try:
        async with asyncio.timeout(_LAST_FLUSH.total_seconds()):
            await stats_flush.run_round()
    except (DependencyUnavailable, TimeoutError):
        pass  # The counters stay in Redis; the next process writes them.
