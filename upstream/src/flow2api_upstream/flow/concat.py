"""Two clips joined upstream. Source: docs/upstream/flow.md, section 11 (join)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from flow2api_upstream.flow.calls import FlowCalls
from flow2api_upstream.flow.classify import Scope, failure_of_status_entry, malformed
from flow2api_upstream.json_reading import text_at
from flow2api_upstream.port import Account, OperationState

_UNITS_PER_SECOND = 1000
"""``lengthNanos`` is a misnomer: 8000 worked for 8 s."""


@dataclass(frozen=True, slots=True)
class ClipPiece:
    """A stretch of a clip that goes into the joined one."""

    media_name: str
    length: timedelta
    start: timedelta = timedelta()


@dataclass(frozen=True, slots=True)
class JoinStatus:
    """One look at a join. When SUCCEEDED, the clip is at ``url`` or in ``encoded_video`` (base64)."""

    state: OperationState
    url: str = ""
    encoded_video: str = field(default="", repr=False)


async def start_join(calls: FlowCalls, account: Account, pieces: Sequence[ClipPiece]) -> str:
    """Hand in the pieces in their order; the answer is the name of the operation."""
    body = {
        "inputVideos": [
            {
                "mediaGenerationId": piece.media_name,
                "lengthNanos": int(piece.length.total_seconds() * _UNITS_PER_SECOND),
                "startTimeOffset": _offset(piece.start),
                "endTimeOffset": _offset(piece.length),
            }
            for piece in pieces
        ]
    }
    answer = await calls.api(
        account, "POST", ":runVideoFxConcatenation", body, scope=Scope.GENERATION_WITH_MEDIA, paid=True
    )
    name = text_at(answer, "operation", "operation", "name")
    if not name:
        raise malformed("the join has no name", paid=True)
    return name


async def check_join(calls: FlowCalls, account: Account, name: str) -> JoinStatus:
    """Look once at a join. Raises UpstreamFailure when it failed upstream."""
    body = {"operation": {"operation": {"name": name}}}
    answer: Mapping[str, object] = await calls.api(
        account, "POST", ":runVideoFxCheckConcatenationStatus", body, scope=Scope.MEDIA
    )
    status = text_at(answer, "status")
    if "FAILED" in status or "ERROR" in status:
        raise failure_of_status_entry(answer, now=calls.clock())
    url, encoded = text_at(answer, "outputUri"), text_at(answer, "encodedVideo")
    if url or encoded:
        return JoinStatus(OperationState.SUCCEEDED, url, "" if url else encoded)
    return JoinStatus(OperationState.ACTIVE if status.endswith("ACTIVE") else OperationState.PENDING)


def _offset(moment: timedelta) -> str:
    return f"{moment.total_seconds():g}s"
