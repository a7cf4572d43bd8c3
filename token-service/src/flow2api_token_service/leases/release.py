"""Releasing: the room is given back and the outcome counts, each once."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta

from flow2api_common.errors import NotFound
from flow2api_common.ids import new_id
from flow2api_token_service.health.effects import HealthEffects
from flow2api_token_service.health.states import FAULTLESS, Outcome
from flow2api_token_service.leases.owned_tasks import OwnedTasks
from flow2api_token_service.leases.pool_index import PoolIndex
from flow2api_token_service.leases.records import LeaseRecord, Verdict
from flow2api_token_service.proxies.reports import ProxyReports


@dataclass(frozen=True, slots=True, kw_only=True)
class OutcomeReport:
    """How a generation ended. ``proxy_id`` is the shared proxy of the failed call, 0 for none."""

    outcome: Outcome
    retry_after: timedelta | None = None
    remaining_credits: int | None = None
    upstream_reason: str = ""
    output_count: int = 0
    proxy_id: int = 0


@dataclass(frozen=True, slots=True)
class Release:
    """What became of a release. ``nowhere_at``: the provider at which the model is nowhere any more; mostly empty."""

    was_live: bool
    nowhere_at: str = ""


class LeaseReleaser:
    """The use case behind ReleaseLease. A success costs one round trip to Redis and no SQL."""

    def __init__(
        self, *, index: PoolIndex, effects: HealthEffects, proxy_reports: ProxyReports, tasks: OwnedTasks
    ) -> None:
        self._index = index
        self._effects = effects
        self._proxy_reports = proxy_reports
        self._tasks = tasks

    async def release(self, lease: LeaseRecord, report: OutcomeReport, *, hold: timedelta = timedelta(0)) -> Release:
        """End the lease. Runs to its end also when the caller goes away.

        A live lease keeps its room for ``hold`` when the upstream may still be at work.

        Raises DependencyUnavailable when Redis, or SQL where the outcome concerns the token's health, is away; then
        nothing has happened and the call can be repeated.
        """
        return await self._tasks.finish(self._release(lease, report, hold), name="release")

    async def abandon(self, request_id: str) -> bool:
        """End the lease of a caller that has never got it, without an outcome; tells whether it was live.

        Raises DependencyUnavailable.
        """
        return await self._index.abandon(request_id)

    async def report_credits(
        self, token_id: int, remaining_credits: int, *, age: timedelta, call_duration: timedelta
    ) -> None:
        """Take in what an account had left after a call. Raises DependencyUnavailable."""
        await self._index.report_credits(token_id, remaining_credits, age=age, call_duration=call_duration)

    async def _release(self, lease: LeaseRecord, report: OutcomeReport, hold: timedelta) -> Release:
        nonce = new_id()
        if report.proxy_id and report.outcome is Outcome.PROXY_FAILED:
            await self._proxy_reports.failed(report.proxy_id, reason=report.upstream_reason)
        elif report.proxy_id and report.outcome is Outcome.NETWORK_ERROR:
            await self._proxy_reports.doubted(report.proxy_id)
        if report.outcome not in FAULTLESS:
            # The token is set aside before its room is free, so that nobody is given it in between.
            await self._apply_once(lease, report, nonce)
        released = await self._index.release(
            lease,
            nonce=nonce,
            verdict=_verdict(report.outcome),
            was_unused=report.outcome is Outcome.UNUSED,
            output_count=max(report.output_count, 1) if report.outcome is Outcome.OK else report.output_count,
            remaining_credits=report.remaining_credits,
            hold=hold,
        )
        if report.outcome is Outcome.OK and released.is_first and released.is_sick:
            await self._apply(lease, report)
        is_missing = report.outcome is Outcome.MODEL_NOT_HERE
        return Release(released.was_live, await self._index.where_it_is_nowhere(lease) if is_missing else "")

    async def _apply_once(self, lease: LeaseRecord, report: OutcomeReport, nonce: str) -> None:
        if not await self._index.claim_outcome(lease.lease_id, nonce):
            return
        try:
            await self._apply(lease, report)
        except BaseException:
            await self._index.unclaim_outcome(lease.lease_id, nonce)
            raise

    async def _apply(self, lease: LeaseRecord, report: OutcomeReport) -> None:
        # A token that was deleted while the generation ran is not there any more to be healthy.
        with suppress(NotFound):
            await self._effects.apply(
                lease.token_id,
                report.outcome,
                upstream_model=lease.upstream_model,
                retry_after=report.retry_after,
                upstream_reason=report.upstream_reason,
            )


def _verdict(outcome: Outcome) -> Verdict:
    if outcome is Outcome.OK:
        return Verdict.OK
    return Verdict.NEUTRAL if outcome in FAULTLESS else Verdict.ERROR
