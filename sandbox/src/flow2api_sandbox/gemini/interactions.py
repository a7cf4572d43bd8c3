"""``interactions``: clips and pictures, in the background or not.

Source: docs/upstream/google-official.md, section 6.
"""

import secrets

from starlette.responses import Response, StreamingResponse

from flow2api_sandbox.accounts import ApiKey
from flow2api_sandbox.calls import Call
from flow2api_sandbox.errors import ApiError
from flow2api_sandbox.faults import CLIP_KINDS, FaultKind
from flow2api_sandbox.gemini.access import require_api_key, require_capacity
from flow2api_sandbox.gemini.inputs import INTERACTION_IMAGE_TYPES, VIDEO_TYPES, check_inline, check_uri
from flow2api_sandbox.gemini.interaction_plan import Plan, plan_output
from flow2api_sandbox.gemini.interaction_requests import CreateInteraction, MediaContent
from flow2api_sandbox.gemini.interaction_views import interaction_events, interaction_json
from flow2api_sandbox.gemini.store import GeminiFile, Interaction
from flow2api_sandbox.ledger import GenerationKind
from flow2api_sandbox.wire import json_response

_OUTCOMES = CLIP_KINDS | {FaultKind.EMPTY}
_GUESSED_BYTES_PER_SECOND = 4000


async def create_interaction(call: Call) -> Response:
    """Begin; answer at once in the background, else when it is done; stream events when asked to."""
    key = require_api_key(call)
    body = await call.read(CreateInteraction)
    _check_inputs(call, key, body)
    previous = _previous(call, key, body)
    plan = plan_output(body, previous)
    call.world.ledger.count_seen(prompt=body.prompt, route=call.route, account=key.name)
    await call.begin(account=key.name, prompt=body.prompt, outcomes=_OUTCOMES)
    settings = call.world.settings
    cap = settings.video_cap if plan.kind is GenerationKind.VIDEO else settings.image_cap
    require_capacity(call, key, plan.kind, cap)
    call.world.ledger.count_accepted(body.prompt, route=call.route)
    interaction = _accept(call, key, body, plan)
    if not body.background:
        await call.world.clock.sleep(interaction.ends_at - call.world.clock.now())
        call.world.settle_key(key)
    if body.stream or call.request.query_params.get("alt") == "sse":
        return StreamingResponse(await interaction_events(call, interaction), media_type="text/event-stream")
    return json_response(await interaction_json(call, interaction))


async def get_interaction(call: Call) -> Response:
    """How far it is, with the result when it is done."""
    interaction = await _require_interaction(call)
    if interaction.spoils(FaultKind.MISSING, default_answers=None):
        raise ApiError(404, "Requested entity was not found.")
    query = call.request.query_params
    if query.get("stream") == "true":
        return StreamingResponse(await interaction_events(call, interaction), media_type="text/event-stream")
    include_input = query.get("include_input") == "true"
    return json_response(await interaction_json(call, interaction, include_input=include_input))


async def cancel_interaction(call: Call) -> Response:
    """End one that still runs. Raises ApiError 400 for one that is over."""
    interaction = await _require_interaction(call)
    now = call.world.clock.now()
    if interaction.is_over(now):
        raise ApiError(400, "The interaction is not running.", reason="failed_precondition")
    interaction.cancelled_at = now
    call.world.settle_key(call.world.api_keys[interaction.owner])
    return json_response(await interaction_json(call, interaction))


async def delete_interaction(call: Call) -> Response:
    """Forget one."""
    interaction = await _require_interaction(call)
    del call.world.gemini.interactions[interaction.interaction_id]
    return json_response({})


def _check_inputs(call: Call, key: ApiKey, body: CreateInteraction) -> None:
    for each in body.contents:
        if not isinstance(each, MediaContent):
            continue
        allowed = INTERACTION_IMAGE_TYPES if each.type == "image" else VIDEO_TYPES
        if each.data is not None:
            check_inline(call, mime_type=each.mime_type or "", data=each.data, allowed=allowed)
        elif each.uri is not None:
            check_uri(call, key, uri=each.uri, mime_type=each.mime_type, allowed=allowed)


def _previous(call: Call, key: ApiKey, body: CreateInteraction) -> Interaction | None:
    if body.previous_interaction_id is None:
        return None
    previous = call.world.gemini.interactions.get(body.previous_interaction_id)
    if previous is None or previous.owner != key.name or not previous.is_over(call.world.clock.now()):
        raise ApiError(404, f"Interaction {body.previous_interaction_id} was not found.")
    return previous


def _accept(call: Call, key: ApiKey, body: CreateInteraction, plan: Plan) -> Interaction:
    world = call.world
    settings = world.settings
    is_video = plan.kind is GenerationKind.VIDEO
    interaction = Interaction(
        interaction_id=f"v1_{secrets.token_urlsafe(24)}",
        owner=key.name,
        model=body.model,
        prompt=body.prompt,
        route=call.route,
        kind=plan.kind,
        created_at=world.clock.now(),
        duration=settings.scaled(settings.omni_video_duration if is_video else settings.image_latency),
        storing_delay=settings.scaled(settings.storing_delay) if is_video else 0.0,
        price_micros=plan.price_micros,
        recipe=plan.recipe(settings),
        request=body.model_dump(mode="json", exclude_none=True),
        input_images=body.count("image"),
        fault=call.outcome_fault,
        is_stored=body.store,
    )
    if plan.delivery == "uri":
        interaction.file_id = _plan_file(call, interaction).file_id
    world.ledger.count_charge(body.prompt, route=call.route, account=key.name, price=interaction.price_micros)
    key.running_interactions.append(interaction)
    key.watch.enter(interaction.kind)
    if body.store:
        world.gemini.interactions[interaction.interaction_id] = interaction
    return interaction


def _plan_file(call: Call, interaction: Interaction) -> GeminiFile:
    """The file of a result, which becomes ACTIVE when the work is over and stored."""
    file = GeminiFile(
        file_id=secrets.token_hex(6),
        owner=interaction.owner,
        recipe=interaction.recipe,
        size_bytes=max(
            call.world.clips_at_least_bytes, _GUESSED_BYTES_PER_SECOND * getattr(interaction.recipe, "seconds", 1)
        ),
        created_at=interaction.created_at,
        active_at=interaction.ends_at + interaction.storing_delay,
        source="GENERATED",
        course=interaction,
    )
    call.world.gemini.files[file.file_id] = file
    return file


async def _require_interaction(call: Call) -> Interaction:
    key = require_api_key(call)
    interaction = call.world.gemini.interactions.get(call.request.path_params["interaction_id"])
    known = interaction is not None and interaction.owner == key.name
    await call.begin(account=key.name, prompt=interaction.prompt if interaction is not None and known else "")
    if interaction is None or not known:
        raise ApiError(404, "Requested entity was not found.")
    return interaction
