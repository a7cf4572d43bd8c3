"""Accepting an order: admission, price, and the operation. Source: docs/upstream/google-official.md, section 8."""

from collections.abc import Callable

from flow2api_sandbox.admission import admit, begin_work
from flow2api_sandbox.bill import Charge
from flow2api_sandbox.calls import Call
from flow2api_sandbox.credentials import Caller
from flow2api_sandbox.faults import CLIP_KINDS, FaultKind
from flow2api_sandbox.ledger import GenerationKind
from flow2api_sandbox.settings import SandboxSettings
from flow2api_sandbox.veo.models import VeoModel
from flow2api_sandbox.veo.orders import VeoOrder, check_order
from flow2api_sandbox.veo.store import VeoOperation

_OUTCOMES = CLIP_KINDS | {FaultKind.EMPTY, FaultKind.FILTERED}

PlaceResults = Callable[[VeoOperation], None]


async def accept_order(
    call: Call, caller: Caller, model: VeoModel, order: VeoOrder, *, name: str, place_results: PlaceResults
) -> VeoOperation:
    """The operation of an order, charged and running. Raises ApiError 400, 429, and what a fault says."""
    check_order(order, model)
    world = call.world
    world.ledger.count_seen(prompt=order.prompt, route=call.route, account=caller.name)
    await call.begin(
        account=caller.name,
        prompt=order.prompt,
        outcomes=_OUTCOMES,
        project=caller.project,
        location=caller.location,
        model=model.model_id,
    )
    quota = admit(call, caller, GenerationKind.VIDEO, model.model_id)
    world.ledger.count_accepted(order.prompt, route=call.route)
    item = order.item(model)
    operation = VeoOperation(
        prompt=order.prompt,
        route=call.route,
        kind=GenerationKind.VIDEO,
        created_at=world.clock.now(),
        duration=_duration(world.settings, model),
        charge=Charge(caller.name, caller.project, caller.location, model.model_id, ()),
        fault=call.outcome_fault,
        name=name,
        owner=caller.owner,
        model=model.model_id,
        recipe=order.recipe(),
        sample_count=order.sample_count,
        sample_item=item,
        storing_delay=world.settings.scaled(world.settings.storing_delay),
    )
    operation.charge = operation.charge_for(order.sample_count)
    place_results(operation)
    world.veo.add(operation, world.clock.now())
    begin_work(call, caller, quota, operation)
    return operation


def _duration(settings: SandboxSettings, model: VeoModel) -> float:
    durations = {
        "veo-3.1": settings.quality_video_duration,
        "veo-3.1-fast": settings.fast_video_duration,
        "veo-3.1-lite": settings.lite_video_duration,
    }
    return settings.scaled(durations[model.grade])
