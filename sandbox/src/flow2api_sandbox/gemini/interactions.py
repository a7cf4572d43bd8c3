"""``interactions``: clips and pictures, in the background or not.

Source: docs/upstream/google-official.md, section 6.
"""

import secrets

from starlette.responses import Response, StreamingResponse

from flow2api_sandbox.admission import admit, begin_work
from flow2api_sandbox.bill import Charge
from flow2api_sandbox.calls import Call, Handler
from flow2api_sandbox.credentials import Caller
from flow2api_sandbox.errors import ApiError
from flow2api_sandbox.faults import CLIP_KINDS, FaultKind
from flow2api_sandbox.gemini.inputs import AUDIO_TYPES, INTERACTION_IMAGE_TYPES, VIDEO_TYPES, check_inline
from flow2api_sandbox.gemini.interaction_api import InteractionApi
from flow2api_sandbox.gemini.interaction_plan import Plan, model_not_found, plan_output
from flow2api_sandbox.gemini.interaction_requests import CreateInteraction, MediaContent
from flow2api_sandbox.gemini.interaction_views import interaction_events, interaction_json
from flow2api_sandbox.gemini.store import Interaction
from flow2api_sandbox.ledger import GenerationKind
from flow2api_sandbox.wire import json_response

_ALLOWED = {"image": INTERACTION_IMAGE_TYPES, "video": VIDEO_TYPES, "audio": AUDIO_TYPES}
_OUTCOMES = CLIP_KINDS | {FaultKind.EMPTY}


def create_interaction(api: InteractionApi) -> Handler:
    """The handler that begins one; it answers at once in the background, else when it is done, or streams events."""

    async def handle(call: Call) -> Response:
        caller = api.identify(call)
        body = await call.read(api.request_type)
        await _check_inputs(call, api, caller, body)
        previous = _previous(call, caller, body)
        if not call.world.availability.serves(body.model, caller.location):
            raise model_not_found(body.model)
        plan = plan_output(body, previous)
        place_result = api.place_result(call, caller, body.output) if plan.delivery == "uri" else None
        call.world.ledger.count_seen(prompt=body.prompt, route=call.route, account=caller.name)
        await call.begin(
            account=caller.name,
            prompt=body.prompt,
            outcomes=_OUTCOMES,
            project=caller.project,
            location=caller.location,
            model=body.model,
        )
        quota = admit(call, caller, plan.kind, body.model)
        call.world.ledger.count_accepted(body.prompt, route=call.route)
        interaction = _interaction(call, caller, body, plan)
        if place_result is not None:
            place_result(interaction)
        begin_work(call, caller, quota, interaction)
        if body.store:
            call.world.gemini.keep(interaction)
        is_streamed = body.stream or call.request.query_params.get("alt") == "sse"
        if not body.background and not is_streamed:
            await call.world.clock.sleep(interaction.ends_at - call.world.clock.now())
            call.world.settle_credential(caller.credential)
        if is_streamed:
            return StreamingResponse(interaction_events(call, interaction), media_type="text/event-stream")
        return json_response(await interaction_json(call, interaction))

    return handle


def get_interaction(api: InteractionApi) -> Handler:
    """The handler that says how far one is, with the result when it is done."""

    async def handle(call: Call) -> Response:
        interaction = await _require_interaction(call, api)
        if interaction.spoils(FaultKind.MISSING, default_answers=None):
            raise ApiError(404, "Requested entity was not found.")
        query = call.request.query_params
        if query.get("stream") == "true":
            events = interaction_events(call, interaction, after=query.get("last_event_id"))
            return StreamingResponse(events, media_type="text/event-stream")
        include_input = query.get("include_input") == "true"
        return json_response(await interaction_json(call, interaction, include_input=include_input))

    return handle


def cancel_interaction(api: InteractionApi) -> Handler:
    """The handler that ends one that still runs; it answers 400 for one that is over."""

    async def handle(call: Call) -> Response:
        interaction = await _require_interaction(call, api)
        now = call.world.clock.now()
        if interaction.is_over(now):
            raise ApiError(400, "The interaction is not running.", reason="failed_precondition")
        interaction.cancelled_at = now
        call.world.settle_credential(interaction.payer)
        return json_response(await interaction_json(call, interaction))

    return handle


def delete_interaction(api: InteractionApi) -> Handler:
    """The handler that forgets one."""

    async def handle(call: Call) -> Response:
        interaction = await _require_interaction(call, api)
        del call.world.gemini.interactions[interaction.interaction_id]
        return json_response({})

    return handle


async def _check_inputs(call: Call, api: InteractionApi, caller: Caller, body: CreateInteraction) -> None:
    for each in body.contents:
        if not isinstance(each, MediaContent):
            continue
        allowed = _ALLOWED[each.type]
        if each.data is not None:
            check_inline(
                call,
                mime_type=each.mime_type or "",
                data=each.data,
                allowed=allowed,
                bytes_at_most=api.bytes_at_most if each.type == "image" else None,
            )
        elif each.uri is not None:
            await api.read_uri(call, caller, each.uri, each.mime_type, allowed)


def _previous(call: Call, caller: Caller, body: CreateInteraction) -> Interaction | None:
    if body.previous_interaction_id is None:
        return None
    previous = call.world.gemini.interaction(body.previous_interaction_id, call.world.clock.now())
    if previous is None or previous.owner != caller.owner or not previous.is_over(call.world.clock.now()):
        raise ApiError(404, f"Interaction {body.previous_interaction_id} was not found.")
    return previous


def _interaction(call: Call, caller: Caller, body: CreateInteraction, plan: Plan) -> Interaction:
    settings = call.world.settings
    is_video = plan.kind is GenerationKind.VIDEO
    return Interaction(
        interaction_id=f"v1_{secrets.token_urlsafe(24)}",
        owner=caller.owner,
        payer=caller.credential,
        model=body.model,
        prompt=body.prompt,
        route=call.route,
        kind=plan.kind,
        created_at=call.world.clock.now(),
        duration=settings.scaled(settings.omni_video_duration if is_video else settings.image_latency),
        storing_delay=settings.scaled(settings.storing_delay) if is_video else 0.0,
        charge=Charge(caller.name, caller.project, caller.location, body.model, plan.items),
        recipe=plan.recipe(settings),
        contents=[each.model_dump(mode="json", exclude_none=True) for each in body.contents],
        input_tokens=plan.input_tokens,
        output_tokens=plan.output_tokens,
        fault=call.outcome_fault,
        is_stored=body.store,
    )


async def _require_interaction(call: Call, api: InteractionApi) -> Interaction:
    caller = api.identify(call)
    interaction = call.world.gemini.interaction(call.request.path_params["interaction_id"], call.world.clock.now())
    known = interaction is not None and interaction.owner == caller.owner
    await call.begin(
        account=caller.name,
        prompt=interaction.prompt if interaction is not None and known else "",
        project=caller.project,
        location=caller.location,
        model=interaction.model if interaction is not None and known else "",
    )
    if interaction is None or not known:
        raise ApiError(404, "Requested entity was not found.")
    return interaction
