"""Many clips are asked about at once. Source: docs/upstream/flow.md, section 9."""

from typing import Any

from starlette.responses import Response

from flow2api_sandbox.accounts import Account
from flow2api_sandbox.assets import FlowAsset, GenerationStatus
from flow2api_sandbox.calls import Call, parse_body
from flow2api_sandbox.cdn import signed_url
from flow2api_sandbox.errors import ApiError
from flow2api_sandbox.faults import FaultKind
from flow2api_sandbox.flow.access import require_bearer
from flow2api_sandbox.flow.answers import course_of, current_status_entry, old_status_entry
from flow2api_sandbox.flow.requests import CurrentStatusQuery, OldStatusQuery
from flow2api_sandbox.settings import AnswerForm
from flow2api_sandbox.wire import json_response, read_json


async def check_status(call: Call) -> Response:
    """The state of every clip asked about; an answer in the form of the question, or in both when so set."""
    account = require_bearer(call)
    raw = await call.read_bytes()
    is_old = _is_old_form(raw)
    if is_old:
        clips = _clips_of_operations(call, account, parse_body(raw, OldStatusQuery))
    else:
        clips = _clips_of_media(call, account, parse_body(raw, CurrentStatusQuery))
    await call.begin(account=account.name, prompt="\n".join(clip.prompt for clip in clips))
    shown = [clip for clip in clips if not course_of(clip).spoils(FaultKind.MISSING, default_answers=None)]
    now = call.world.clock.now()
    both = call.world.settings.answer_form is AnswerForm.BOTH
    answer: dict[str, Any] = {"remainingCredits": account.credits}
    if is_old or both:
        answer["operations"] = [old_status_entry(clip, now, _url(call, clip, is_old=True)) for clip in shown]
    if not is_old or both:
        answer["media"] = [current_status_entry(clip, now, _url(call, clip, is_old=False)) for clip in shown]
    return json_response(answer)


def _is_old_form(raw: bytes) -> bool:
    try:
        parsed = read_json(raw)
    except ValueError as exc:
        raise ApiError(400, f"Invalid JSON payload received. {exc}") from exc
    return isinstance(parsed, dict) and "operations" in parsed


def _clips_of_media(call: Call, account: Account, query: CurrentStatusQuery) -> list[FlowAsset]:
    return [_require_clip(call.world.assets.get(entry.name), account, entry.project_id) for entry in query.media]


def _clips_of_operations(call: Call, account: Account, query: OldStatusQuery) -> list[FlowAsset]:
    clips = []
    for entry in query.operations:
        clip = _require_clip(call.world.operations.get(entry.operation.name), account, None)
        if entry.scene_id != course_of(clip).scene_id:
            raise ApiError(400, f"sceneId {entry.scene_id} is not that of {entry.operation.name}.")
        clips.append(clip)
    return clips


def _require_clip(clip: FlowAsset | None, account: Account, project_id: str | None) -> FlowAsset:
    if clip is None or clip.course is None or clip.owner != account.name:
        raise ApiError(404, "Requested entity was not found.")
    if project_id is not None and clip.project_id != project_id:
        raise ApiError(404, "Requested entity was not found.")
    return clip


def _url(call: Call, clip: FlowAsset, *, is_old: bool) -> str | None:
    """The link, once there is a file and the form or the settings say that it is shown."""
    wanted = is_old or call.world.settings.status_has_url
    done = course_of(clip).status(call.world.clock.now()) is GenerationStatus.SUCCESSFUL
    return signed_url(call, clip) if wanted and done else None
