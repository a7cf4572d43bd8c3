"""One round with the operations of one token: look, keep their leases, and carry out what the answers mean."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

from flow2api_common.clock import Clock
from flow2api_common.errors import Flow2APIError, InvalidArgument, NotFound
from flow2api_common.logs import get_logger
from flow2api_common.request_context import incoming_request
from flow2api_poller_service.clip_store import ClipStore
from flow2api_poller_service.group_look import GroupLooks
from flow2api_poller_service.look import Look
from flow2api_poller_service.mp4 import NotAClip
from flow2api_poller_service.pool import TokenPool
from flow2api_poller_service.renewals import LeaseRenewals
from flow2api_poller_service.reports import Reports
from flow2api_poller_service.settings import FollowSettings
from flow2api_poller_service.verdicts import (
    End,
    Ready,
    Verdict,
    Wait,
    account_removed,
    expired,
    not_stored,
    not_stored_by_us,
)
from flow2api_upstream.port import Provider, UpstreamFailure
from flow2api_upstream.port_to_tokens import success

log = get_logger(__name__)


class Following:
    """Follows operations. Everything that it does may be done again by another poller after a crash."""

    def __init__(
        self,
        *,
        looks: GroupLooks,
        clips: ClipStore,
        pool: TokenPool,
        renewals: LeaseRenewals,
        reports: Reports,
        clock: Clock,
        settings: FollowSettings,
    ) -> None:
        self._looks = looks
        self._clips = clips
        self._pool = pool
        self._renewals = renewals
        self._reports = reports
        self._clock = clock
        self._settings = settings

    async def look(self, provider: Provider, looks: Sequence[Look]) -> list[tuple[Look, Ready]]:
        """Look at operations of one token and settle their messages; answers the finished clips, which are not settled.

        Raises DependencyUnavailable when NATS is away; what is unsettled then comes again.
        """
        verdicts = await self._looks.look(provider, looks)
        await self._keep_leases(looks, verdicts)
        ready: list[tuple[Look, Ready]] = []
        others: list[tuple[Look, Verdict]] = []
        for look, verdict in zip(looks, verdicts, strict=True):
            if isinstance(verdict, Ready) and not look.message.has_next_stage:
                ready.append((look, verdict))
            else:
                others.append((look, verdict))
        # At the same time: each waits for JetStream, and nobody's news for the others'.
        outcomes = await asyncio.gather(*(self._settle(*each) for each in others), return_exceptions=True)
        for outcome in outcomes:
            if isinstance(outcome, BaseException):
                raise outcome
        return ready

    async def _settle(self, look: Look, verdict: Verdict) -> None:
        with incoming_request(look.delivery.headers):
            match verdict:
                case Wait():
                    await self._wait(look, verdict)
                case End():
                    await self.end(look, verdict)
                case Ready():
                    await self._reports.stage_done(look, verdict)
                    log.info("video_stage_done", video_id=look.message.video_id, stage=look.message.stage)
                    await look.delivery.ack()

    async def store(self, provider: Provider, look: Look, ready: Ready) -> None:
        """Bring a finished clip into the store and settle its message. Raises DependencyUnavailable when NATS is
        away."""
        await self._reports.storing(look, ready)
        try:
            stored = await self._clips.store(provider, look, ready.media)
        except InvalidArgument as error:
            await self.end(look, not_stored_by_us(error.message))
        except NotFound:
            await self.end(look, account_removed())
        except UpstreamFailure as failure:
            log.info("clip_not_fetched", video_id=look.message.video_id, failure=failure.failure_class)
            await self._store_later(look, failure.message)
        except NotAClip as error:
            log.warning("clip_not_whole", video_id=look.message.video_id, error=str(error))
            await self._store_later(look, str(error))
        except Exception as error:
            log.warning("clip_not_stored", video_id=look.message.video_id, exc_info=_unexpected(error))
            await self._store_when_we_can(look)
        else:
            await self._reports.stored(look, stored, ready)
            log.info("video_stored", video_id=look.message.video_id, size_bytes=stored.size_bytes)
            await self._pool.release(look.message.lease, success())
            await look.delivery.ack()

    async def wait_for_provider(self, look: Look, delay: timedelta) -> None:
        """Leave an operation that this poller cannot ask about to a newer one, until its deadline."""
        if self._clock() >= look.deadline_time:
            await self.end(look, expired())
        else:
            await look.delivery.nak(delay)

    async def end(self, look: Look, end: End) -> None:
        """Report a bad end, give the lease back or leave it to run out, settle the message."""
        log.info(
            "video_not_made", video_id=look.message.video_id, code=end.failed.code, reason=end.outcome.upstream_reason
        )
        await self._reports.failed(look, end.failed)
        over_at = look.submit_time + self._settings.poller_hold_unfinished
        hold = max(over_at - self._clock(), timedelta(0)) if end.may_still_run else timedelta(0)
        await self._pool.release(look.message.lease, end.outcome, hold=hold)
        await look.delivery.ack()

    async def _keep_leases(self, looks: Sequence[Look], verdicts: Sequence[Verdict]) -> None:
        kept = [
            look.message.lease for look, verdict in zip(looks, verdicts, strict=True) if not isinstance(verdict, End)
        ]
        if not kept:
            return
        longest = max((verdict.delay for verdict in verdicts if isinstance(verdict, Wait)), default=timedelta(0))
        if any(isinstance(verdict, Ready) for verdict in verdicts):
            longest = max(longest, self._settings.poller_store_patience)
        await self._renewals.keep(kept, until=self._clock() + longest + self._settings.poller_lease_margin)

    async def _wait(self, look: Look, wait: Wait) -> None:
        if wait.progress is not None:
            await self._reports.progressed(look, wait.progress)
        if replace(wait.carried, not_before=None) == replace(look.carried, not_before=None):
            await look.delivery.nak(wait.delay)
            return
        await self._reports.succeed(look, replace(wait.carried, not_before=self._clock() + wait.delay))
        await look.delivery.ack()

    async def _store_later(self, look: Look, message: str) -> None:
        now = self._clock()
        retry = self._settings.poller_store_retry
        if look.carried.store_until is None:
            # The deadline was for the upstream, and it has kept it.
            until = now + self._settings.poller_store_patience
            await self._reports.succeed(look, replace(look.carried, store_until=until, not_before=now + retry))
            await look.delivery.ack()
        elif now >= look.carried.store_until:
            await self.end(look, not_stored(message))
        else:
            await look.delivery.nak(retry)

    async def _store_when_we_can(self, look: Look) -> None:
        # As long as the job lives: the clip is paid for, and it is we who cannot take it.
        if self._clock() < look.deadline_time + self._settings.poller_store_patience:
            await look.delivery.nak(self._settings.poller_store_retry)
        else:
            await self.end(look, not_stored_by_us("The media store or the account was not to be reached."))


def _unexpected(error: Exception) -> Exception | None:
    """What deserves a traceback; that a peer is away is no mistake of ours."""
    return None if isinstance(error, Flow2APIError) else error
