"""Clips looked at, many in one call. Source: docs/upstream/flow.md, section 9."""

from collections.abc import Mapping, Sequence

from flow2api_upstream.flow.calls import FlowCalls
from flow2api_upstream.flow.classify import Scope, failure_of_status_entry, filtered
from flow2api_upstream.flow.handles import FlowMedia, FlowOperation
from flow2api_upstream.flow.wire import entries_of, is_filtered, media_name_of, names_of, status_word_of, url_of
from flow2api_upstream.json_reading import text_at
from flow2api_upstream.port import (
    Account,
    FailureClass,
    OperationHandle,
    OperationState,
    OperationStatus,
    UpstreamFailure,
)

MAX_OPERATIONS_PER_CHECK = 20
"""Our choice: no limit is documented."""

_PREFIX = "MEDIA_GENERATION_STATUS_"
_PATH = "/video:batchCheckAsyncVideoGenerationStatus"
_OF_ONE_ENTRY = frozenset({FailureClass.BAD_INPUT, FailureClass.MEDIA_GONE, FailureClass.CONTENT})


async def check_videos(
    calls: FlowCalls, account: Account, handles: Sequence[OperationHandle]
) -> dict[OperationHandle, OperationStatus]:
    """One look at each operation. Those that the answer does not mention are MISSING."""
    statuses: dict[OperationHandle, OperationStatus] = {}
    for group in _groups(handles):
        statuses |= await _check_group(calls, account, group)
    return statuses


def statuses_of(
    calls: FlowCalls, answer: Mapping[str, object], operations: Mapping[OperationHandle, FlowOperation]
) -> dict[OperationHandle, OperationStatus]:
    """What an answer says about the operations that were asked for."""
    entries: dict[str, list[Mapping[str, object]]] = {}
    for entry in entries_of(answer):
        for name in names_of(entry):
            entries.setdefault(name, []).append(entry)
    return {
        handle: _merged_status(
            calls, handle, operation, [entry for name in sorted(operation.names) for entry in entries.get(name, ())]
        )
        for handle, operation in operations.items()
    }


def _groups(handles: Sequence[OperationHandle]) -> list[dict[OperationHandle, FlowOperation]]:
    """Operations to ask for together: never the two forms in one body, never too many."""
    operations = {handle: FlowOperation.read(handle) for handle in handles}
    groups = []
    for is_current in (True, False):
        of_form = [item for item in operations.items() if bool(item[1].name) is is_current]
        starts = range(0, len(of_form), MAX_OPERATIONS_PER_CHECK)
        groups += [dict(of_form[start : start + MAX_OPERATIONS_PER_CHECK]) for start in starts]
    return groups


async def _check_group(
    calls: FlowCalls, account: Account, group: Mapping[OperationHandle, FlowOperation]
) -> dict[OperationHandle, OperationStatus]:
    try:
        answer = await calls.api(account, "POST", _PATH, _status_body(list(group.values())), scope=Scope.MEDIA)
    except UpstreamFailure as failure:
        if failure.failure_class not in _OF_ONE_ENTRY:
            raise
        if len(group) == 1:
            return {handle: OperationStatus(handle, OperationState.MISSING) for handle in group}
        # One entry that the upstream does not know spoils the answer for all: ask for each alone.
        statuses: dict[OperationHandle, OperationStatus] = {}
        for handle, operation in group.items():
            statuses |= await _check_group(calls, account, {handle: operation})
        return statuses
    return statuses_of(calls, answer, group)


def _status_body(operations: Sequence[FlowOperation]) -> dict[str, object]:
    if operations[0].name:
        return {"media": [{"name": operation.name, "projectId": operation.project} for operation in operations]}
    return {
        "operations": [
            {
                "operation": {"name": operation.operation},
                "sceneId": operation.scene,
                "status": f"{_PREFIX}PENDING",
            }
            for operation in operations
        ]
    }


def _merged_status(
    calls: FlowCalls,
    handle: OperationHandle,
    operation: FlowOperation,
    entries: Sequence[Mapping[str, object]],
) -> OperationStatus:
    """The furthest state that any form tells, with what the others add to it."""
    if not entries:
        return OperationStatus(handle, OperationState.MISSING)
    states = [_state_of(entry) for entry in entries]
    if OperationState.SUCCEEDED in states:
        hidden = next((entry for entry in entries if is_filtered(entry)), None)
        if hidden is not None:
            return OperationStatus(handle, OperationState.FAILED, failure=filtered("FILTERED"))
        return OperationStatus(
            handle, OperationState.SUCCEEDED, media=_media_of(operation, entries).handle(), progress=1.0
        )
    if OperationState.FAILED in states:
        entry = entries[states.index(OperationState.FAILED)]
        return OperationStatus(handle, OperationState.FAILED, failure=failure_of_status_entry(entry, now=calls.clock()))
    state = OperationState.ACTIVE if OperationState.ACTIVE in states else OperationState.PENDING
    return OperationStatus(handle, state)


def _state_of(entry: Mapping[str, object]) -> OperationState:
    """Unknown and missing words are PENDING: the job's own deadline ends them."""
    word = status_word_of(entry).removeprefix(_PREFIX)
    if word == "SUCCESSFUL":
        return OperationState.SUCCEEDED
    if word == "FAILED" or word.startswith("ERROR"):
        return OperationState.FAILED
    return OperationState.ACTIVE if word == "ACTIVE" else OperationState.PENDING


def _media_of(operation: FlowOperation, entries: Sequence[Mapping[str, object]]) -> FlowMedia:
    url = next((found for entry in entries if (found := url_of(entry))), "")
    name = operation.name or next((found for entry in entries if (found := media_name_of(entry, url))), "")
    workflow = next((found for entry in entries if (found := text_at(entry, "workflowId"))), "")
    return FlowMedia(name=name, project=operation.project, workflow=operation.workflow or workflow, url=url)
