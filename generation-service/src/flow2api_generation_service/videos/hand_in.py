"""Handing one stage to one token: pictures up, then the paid call, with the repeats that are safe on the same
token."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Final

from flow2api_common.errors import Flow2APIError
from flow2api_common.logs import get_logger
from flow2api_generation_service.leasing import LeaseClient, in_same_project
from flow2api_generation_service.videos.states import Stage
from flow2api_generation_service.videos.submission import Submissions, Ticket
from flow2api_upstream.failures import asks_to_stay_away, pause_before_repeat, retry_rule
from flow2api_upstream.port import Account, Provider, SourceImage, UploadedImage, UpstreamFailure, VideoCall

log = get_logger(__name__)

_BACKOFF: Final = timedelta(seconds=1)


class HandIn:
    """Hands stages in."""

    def __init__(self, *, submissions: Submissions, leases: LeaseClient) -> None:
        self._submissions = submissions
        self._leases = leases

    async def run(
        self,
        ticket: Ticket,
        *,
        provider: Provider,
        account: Account,
        pictures: Sequence[SourceImage],
        call_for: Callable[[Account], VideoCall],
    ) -> None:
        """Submit this stage and record what the upstream answered.

        Raises AttemptLost before anything was asked, UpstreamFailure when this token is done with.
        """
        uploaded: list[UploadedImage] | None = None
        attempt = 0
        while True:
            attempt += 1
            try:
                if uploaded is None:
                    uploaded = [await provider.upload_image(account, picture) for picture in pictures]
                call = replace(call_for(account), images=tuple(uploaded))
                balance = await self._submissions.submit(ticket, provider, account, call)
            except UpstreamFailure as failure:
                failure.proxy_id = account.proxy_id
                rule = retry_rule(failure)
                if attempt > rule.same_token_attempts or (rule.other_proxy and not account.proxy_id):
                    raise
                if ticket.stage is Stage.GENERATE and asks_to_stay_away(failure):
                    # An enlargement has no other token to go to.
                    raise
                log.info(
                    "video_submission_repeated",
                    video_id=ticket.video_id,
                    failure=failure.failure_class,
                    upstream_reason=failure.reason,
                    attempt=attempt,
                )
                await self._submissions.note_repeat(ticket, failure)
                if rule.refresh_first:
                    account = await self._other_credential(
                        account, failure, rejected_version=account.credential_version
                    )
                elif rule.other_proxy:
                    account = await self._other_credential(account, failure, failed_proxy_id=account.proxy_id)
                elif rule.other_project:
                    account = await self._other_credential(account, failure, gone_project_id=account.project_id)
                    uploaded = None
                elif rule.upload_again:
                    uploaded = None
                else:
                    backoff = _BACKOFF * (attempt * random.uniform(0.5, 1.0))  # noqa: S311 - jitter
                    await asyncio.sleep(pause_before_repeat(failure, backoff).total_seconds())
            else:
                if balance is not None:
                    await self._leases.tell_credits(account.token_id, balance)
                return

    async def _other_credential(
        self,
        used: Account,
        failure: UpstreamFailure,
        *,
        rejected_version: int = 0,
        failed_proxy_id: int = 0,
        gone_project_id: str = "",
    ) -> Account:
        try:
            other = await self._leases.credential(used.token_id, rejected_version, failed_proxy_id, gone_project_id)
            return other if gone_project_id else in_same_project(other, used)
        except Flow2APIError as error:
            log.info("credential_not_renewed", token_id=used.token_id, reason=error.reason)
            raise failure from error
