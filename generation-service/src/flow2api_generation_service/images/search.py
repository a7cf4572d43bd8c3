"""Finding an account for one picture, and another one after a failure."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import timedelta

from flow2api_common.errors import CapacityError, Flow2APIError
from flow2api_generation_service.catalog.image_plan import ImageOption
from flow2api_generation_service.lease_keeper import LeaseKeeper
from flow2api_generation_service.leasing import NO_ELIGIBLE_TOKEN, HeldLease, is_hopeless
from flow2api_proto.tokens.v1 import token_pb2
from flow2api_upstream.failures import retry_rule, to_service_error
from flow2api_upstream.port import UpstreamFailure

_LATER = timedelta(seconds=60)


class AccountSearch:
    """What is left to try for one picture: routes, accounts and time to wait for one."""

    def __init__(
        self,
        *,
        keeper: LeaseKeeper,
        options: Sequence[ImageOption],
        api_key_id: str,
        wait: timedelta,
        is_partly_gone: bool = False,
    ) -> None:
        """``is_partly_gone``: other routes are off, because their upstream does not know the model any more."""
        self._is_partly_gone = is_partly_gone
        self._keeper = keeper
        self._options = list(options)
        self._api_key_id = api_key_id
        self._wait_until = asyncio.get_running_loop().time() + wait.total_seconds()
        self._tried_token_ids: list[int] = []
        self._last_failure: UpstreamFailure | None = None

    async def next(self) -> tuple[HeldLease, ImageOption]:
        """Lease an account that was not tried yet.

        Raises the error of the last failure when nobody is left who could do better; CapacityError when none was free
        in time, with the reason NO_ELIGIBLE_TOKEN when none could ever serve this.
        """
        if not self._options:
            raise self._nobody_left()
        wait = timedelta(seconds=max(0.0, self._wait_until - asyncio.get_running_loop().time()))
        try:
            held = await self._keeper.acquire(
                candidates=[_candidate(option) for option in self._options],
                api_key_id=self._api_key_id,
                wait=wait,
                excluded=self._tried_token_ids,
            )
        except Flow2APIError as error:
            if self._last_failure is not None and (is_hopeless(error) or isinstance(error, CapacityError)):
                raise self._nobody_left() from error
            if is_hopeless(error):
                raise self._nobody_left(error.message) from error
            raise
        return held, self._options[held.candidate_index]

    def may_go_on(self, failure: UpstreamFailure) -> bool:
        """Whether the failure may be answered by trying elsewhere."""
        rule = retry_rule(failure)
        return rule.other_token or (rule.other_route and len(self._options) > 1)

    def failed(self, failure: UpstreamFailure, token_id: int, option: ImageOption) -> None:
        """Remember what did not work."""
        self._last_failure = failure
        rule = retry_rule(failure)
        if rule.other_token:
            self._tried_token_ids.append(token_id)
        else:
            self._options.remove(option)

    def _nobody_left(self, message: str = "No account of the pool can serve this model.") -> Flow2APIError:
        if self._last_failure is not None:
            return to_service_error(self._last_failure, paid=False)
        gone = " The upstream that served the model does not know it any more." if self._is_partly_gone else ""
        return CapacityError(message + gone, reason=NO_ELIGIBLE_TOKEN, retry_after=_LATER)


def _candidate(option: ImageOption) -> token_pb2.LeaseCandidate:
    return token_pb2.LeaseCandidate(
        provider=option.provider,
        upstream_model=option.upstream_model,
        min_tier=token_pb2.Tier.ValueType(option.min_tier),
        credits=option.credits,
    )
