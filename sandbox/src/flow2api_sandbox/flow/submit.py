"""Clips are asked for: checks, charge, acceptance. Source: docs/upstream/flow.md, sections 4, 8, 11, 14 and 15."""

from datetime import timedelta

from starlette.responses import Response

from flow2api_sandbox.accounts import Account
from flow2api_sandbox.assets import ClipCourse, FlowAsset
from flow2api_sandbox.calls import Call, Handler
from flow2api_sandbox.errors import ApiError
from flow2api_sandbox.faults import CLIP_KINDS, FaultKind
from flow2api_sandbox.flow.access import access_denied, require_bearer, require_project, require_verified
from flow2api_sandbox.flow.answers import submit_answer
from flow2api_sandbox.flow.models import (
    BASE_SIZE,
    LANDSCAPE,
    UPSAMPLED_SIZES,
    UPSAMPLER_RESOLUTIONS,
    VIDEO_MODELS,
    Family,
    SubmitKind,
    VideoModel,
)
from flow2api_sandbox.flow.references import require_asset
from flow2api_sandbox.flow.requests import (
    ExtendVideo,
    ReferenceVideo,
    StartEndImageVideo,
    StartImageVideo,
    SubmitVideos,
    TextVideo,
    UpsampleVideo,
    VideoRequest,
)
from flow2api_sandbox.ledger import GenerationKind
from flow2api_sandbox.media.recipes import ClipRecipe
from flow2api_sandbox.settings import SandboxSettings
from flow2api_sandbox.wire import json_response
from flow2api_sandbox.world import World, new_id

_OUTCOMES = CLIP_KINDS | {FaultKind.EMPTY}
_BODIES: dict[SubmitKind, type[SubmitVideos[VideoRequest]]] = {
    SubmitKind.TEXT: SubmitVideos[TextVideo],
    SubmitKind.START: SubmitVideos[StartImageVideo],
    SubmitKind.START_END: SubmitVideos[StartEndImageVideo],
    SubmitKind.REFERENCE: SubmitVideos[ReferenceVideo],
    SubmitKind.EXTEND: SubmitVideos[ExtendVideo],
    SubmitKind.UPSAMPLE: SubmitVideos[UpsampleVideo],
}


def submit_handler(kind: SubmitKind) -> Handler:
    """The handler of one of the submit calls."""

    async def submit(call: Call) -> Response:
        return await _submit(call, kind)

    return submit


async def _submit(call: Call, kind: SubmitKind) -> Response:
    account = require_bearer(call)
    body = await call.read(_BODIES[kind])
    require_project(account, body.client_context)
    project_id = body.client_context.project_id
    models = [_check_request(call.world, account, project_id, kind, request) for request in body.requests]
    prompt = _prompt_of(call.world, body.requests[0])
    batch_id = body.media_generation_context.batch_id
    call.world.ledger.count_seen(prompt=prompt, route=call.route, account=account.name, batch_id=batch_id)
    outcome = await call.begin(account=account.name, prompt=prompt, outcomes=_OUTCOMES)
    require_verified(account)
    for model in models:
        if account.tier not in model.tiers:
            raise access_denied(f"{model.key} is not for {account.tier}.")
    _check_cap(call.world, account, len(models))
    price = sum(model.price(account.tier) for model in models)
    call.world.charge(account, price, prompt=prompt, route=call.route)
    call.world.ledger.count_accepted(prompt, route=call.route)
    clips = [
        _accept(call, account, project_id, request, model) for request, model in zip(body.requests, models, strict=True)
    ]
    if outcome is FaultKind.EMPTY:
        return json_response({"remainingCredits": account.credits})
    return json_response(submit_answer(call.world.settings.answer_form, account, clips))


def _check_request(
    world: World, account: Account, project_id: str, kind: SubmitKind, request: VideoRequest
) -> VideoModel:
    key = request.video_model_key
    model = VIDEO_MODELS.get(key)
    if model is None:
        raise ApiError(400, f'Invalid value at "requests.videoModelKey": {key}')
    if kind not in model.kinds:
        raise ApiError(400, f"Model {key} does not support {kind.value}.")
    if model.aspect_ratio not in (None, request.aspect_ratio) or "SQUARE" in request.aspect_ratio:
        raise ApiError(400, f"Model {key} does not support {request.aspect_ratio}.")
    for name in request.image_ids:
        require_asset(world, account, name, project_id, GenerationKind.IMAGE)
    if request.source_id is not None:
        source = require_asset(world, account, request.source_id, project_id, GenerationKind.VIDEO)
        _check_source(request, source)
    return model


def _check_source(request: VideoRequest, source: FlowAsset) -> None:
    if source.aspect_ratio != request.aspect_ratio:
        raise ApiError(400, "aspectRatio is not that of the source clip.")
    if isinstance(request, ExtendVideo) and request.metadata.workflow_id != source.workflow_id:
        raise ApiError(400, "metadata.workflowId is not that of the source clip.")
    if isinstance(request, UpsampleVideo) and UPSAMPLER_RESOLUTIONS[request.video_model_key] != request.resolution:
        raise ApiError(400, f"Model {request.video_model_key} does not make {request.resolution}.")


def _check_cap(world: World, account: Account, count: int) -> None:
    cap = world.settings.video_cap
    if cap is not None and account.watch.running[GenerationKind.VIDEO] + count > cap:
        message = "Resource has been exhausted (e.g. check quota)."
        raise ApiError(429, message, reason="PUBLIC_ERROR_USER_REQUESTS_THROTTLED")


def _accept(call: Call, account: Account, project_id: str, request: VideoRequest, model: VideoModel) -> FlowAsset:
    world = call.world
    fault = call.outcome_fault
    name = new_id()
    course = ClipCourse(
        accepted_at=world.clock.now(),
        duration=world.settings.scaled(_duration(world.settings, model.family)),
        storing_delay=world.settings.scaled(world.settings.storing_delay),
        operation_name=f"op-{name}",
        scene_id=request.metadata.scene_id if isinstance(request, UpsampleVideo) else new_id(),
        price=model.price(account.tier),
        route=call.route,
        fault=fault if fault is not None and fault.kind in CLIP_KINDS else None,
    )
    clip = FlowAsset(
        name=name,
        owner=account.name,
        project_id=project_id,
        kind=GenerationKind.VIDEO,
        recipe=_recipe(world, request, model),
        created_at=course.accepted_at,
        workflow_id=_workflow_id(request),
        prompt=_prompt_of(world, request),
        model=model.key,
        aspect_ratio=request.aspect_ratio,
        seed=request.seed,
        course=course,
    )
    account.running_clips.append(clip)
    account.watch.enter(GenerationKind.VIDEO)
    return world.remember(clip)


def _duration(settings: SandboxSettings, family: Family) -> timedelta:
    match family:
        case Family.QUALITY:
            return settings.quality_video_duration
        case Family.LITE:
            return settings.lite_video_duration
        case Family.OMNI:
            return settings.omni_video_duration
        case Family.UPSAMPLE_1080P:
            return settings.upsample_1080p_duration
        case Family.UPSAMPLE_4K:
            return settings.upsample_4k_duration
        case Family.FAST | Family.RELAXED | Family.EXTEND:
            return settings.fast_video_duration


def _recipe(world: World, request: VideoRequest, model: VideoModel) -> ClipRecipe:
    width, height = UPSAMPLED_SIZES.get(model.family, BASE_SIZE)
    seconds = model.seconds
    if isinstance(request, UpsampleVideo):
        source = world.assets[request.video_input.media_id].recipe
        seconds = source.seconds if isinstance(source, ClipRecipe) else seconds
    if request.aspect_ratio != LANDSCAPE:
        width, height = height, width
    return ClipRecipe(width=width, height=height, seconds=seconds)


def _prompt_of(world: World, request: VideoRequest) -> str:
    if isinstance(request, UpsampleVideo):
        return world.assets[request.video_input.media_id].prompt
    return request.prompt


def _workflow_id(request: VideoRequest) -> str:
    return request.metadata.workflow_id if isinstance(request, ExtendVideo) else new_id()
