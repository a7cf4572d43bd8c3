"""Many clips looked at, one call each: neither API has one for several."""

import asyncio
from collections.abc import Sequence

from flow2api_upstream.google.calls import GoogleCalls
from flow2api_upstream.google.handles import GoogleOperation
from flow2api_upstream.google.interactions import read_interaction
from flow2api_upstream.google.interactions import status_of as interaction_status
from flow2api_upstream.google.operations import read_operation
from flow2api_upstream.google.operations import status_of as operation_status
from flow2api_upstream.port import (
    Account,
    FailureClass,
    OperationHandle,
    OperationState,
    OperationStatus,
    UpstreamFailure,
)

MAX_OPERATIONS_PER_CHECK = 10
"""Our choice: each look is a call of its own, so these run at the same time."""

_OF_ONE_OPERATION = frozenset({FailureClass.UPSTREAM, FailureClass.BAD_INPUT, FailureClass.CONTENT})


async def check_videos(
    calls: GoogleCalls, account: Account, handles: Sequence[OperationHandle]
) -> dict[OperationHandle, OperationStatus]:
    """One look at each, all at the same time. What concerns the account as a whole is raised.

    A clip that cannot be read although others can is MISSING in this look.
    """
    limit = asyncio.Semaphore(MAX_OPERATIONS_PER_CHECK)

    async def look(handle: OperationHandle) -> OperationStatus | UpstreamFailure:
        async with limit:
            try:
                return await _check(calls, account, handle)
            except UpstreamFailure as failure:
                return failure

    looks = dict(zip(handles, await asyncio.gather(*(look(handle) for handle in handles)), strict=True))
    failures = [outcome for outcome in looks.values() if isinstance(outcome, UpstreamFailure)]
    for failure in failures:
        if failure.failure_class not in _OF_ONE_OPERATION or len(failures) == len(looks):
            raise failure
    return {
        handle: OperationStatus(handle, OperationState.MISSING) if isinstance(outcome, UpstreamFailure) else outcome
        for handle, outcome in looks.items()
    }


async def _check(calls: GoogleCalls, account: Account, handle: OperationHandle) -> OperationStatus:
    named = GoogleOperation.read(calls.api.provider, handle)
    try:
        if named.operation:
            return operation_status(calls, handle, await read_operation(calls, account, named.operation))
        return interaction_status(calls, handle, await read_interaction(calls, account, named.interaction))
    except UpstreamFailure as failure:
        if failure.http_status == 404:
            # Who follows it decides when it is lost. Nothing says that its price is given back then.
            return OperationStatus(handle, OperationState.MISSING)
        raise
