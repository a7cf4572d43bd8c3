"""Builds what belongs to proxies."""

from __future__ import annotations

from contextlib import AsyncExitStack
from dataclasses import dataclass

from flow2api_common.clock import Clock
from flow2api_common.database import Database
from flow2api_token_service.audit.audit_log import AuditLog
from flow2api_token_service.credentials.store import CredentialStore
from flow2api_token_service.leases.redis_lock import RedisLocks
from flow2api_token_service.proxies.administration import ProxyAdministration
from flow2api_token_service.proxies.assignments import ProxyAssignments
from flow2api_token_service.proxies.changes import ProxyChanges
from flow2api_token_service.proxies.checks import ProxyChecks, ProxyProbe
from flow2api_token_service.proxies.directory import ProxyDirectory
from flow2api_token_service.proxies.reports import ProxyReports
from flow2api_token_service.proxies.router import ProxyRouter
from flow2api_token_service.proxies.servicer import ProxyServicer
from flow2api_token_service.secrets.vault import Vault
from flow2api_token_service.settings import TokenServiceSettings
from flow2api_token_service.tokens.changes import TokenChanges
from flow2api_upstream.http import HttpClient

_SESSION_PAGE = "/auth/session"
"""Without a cookie it answers ``{}`` and costs nothing. Source: docs/upstream/flow.md, section 2."""


@dataclass(frozen=True, slots=True)
class ProxyParts:
    """What the rest of the service needs of proxies."""

    directory: ProxyDirectory
    reports: ProxyReports
    router: ProxyRouter
    checks: ProxyChecks
    servicer: ProxyServicer


def build_proxies(
    settings: TokenServiceSettings,
    *,
    database: Database,
    vault: Vault,
    locks: RedisLocks,
    token_changes: TokenChanges,
    store: CredentialStore,
    audit: AuditLog,
    stack: AsyncExitStack,
    clock: Clock,
) -> ProxyParts:
    """The parts, whose connections ``stack`` closes."""
    client = HttpClient(settings)
    stack.push_async_callback(client.aclose)
    directory = ProxyDirectory(database=database, vault=vault)
    changes = ProxyChanges(database=database, directory=directory, clock=clock)
    reports = ProxyReports(directory=directory, changes=changes, settings=settings)
    checks = ProxyChecks(
        database=database,
        directory=directory,
        changes=changes,
        probe=ProxyProbe(
            client=client,
            url=settings.proxy_check_url or settings.flow_labs_url.rstrip("/") + _SESSION_PAGE,
            timeout=settings.proxy_check_timeout,
        ),
        vault=vault,
        locks=locks,
        settings=settings,
        clock=clock,
    )
    stack.push_async_callback(checks.aclose)
    return ProxyParts(
        directory=directory,
        reports=reports,
        router=ProxyRouter(
            directory=directory,
            assignments=ProxyAssignments(database=database, changes=token_changes),
            reports=reports,
            store=store,
            settings=settings,
        ),
        checks=checks,
        servicer=ProxyServicer(
            administration=ProxyAdministration(database=database, changes=changes, vault=vault),
            checks=checks,
            audit=audit,
        ),
    )
