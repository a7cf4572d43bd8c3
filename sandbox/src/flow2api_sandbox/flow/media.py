"""A medium as base64, and two clips joined. Source: docs/upstream/flow.md, sections 10 and 11."""

from starlette.responses import Response

from flow2api_sandbox.assets import Concatenation
from flow2api_sandbox.calls import Call
from flow2api_sandbox.cdn import require_stored
from flow2api_sandbox.errors import ApiError
from flow2api_sandbox.faults import FaultKind
from flow2api_sandbox.flow.access import require_bearer
from flow2api_sandbox.flow.requests import CheckConcatenation, Concatenate
from flow2api_sandbox.ledger import GenerationKind
from flow2api_sandbox.media.recipes import ClipRecipe
from flow2api_sandbox.wire import encode_base64, json_response
from flow2api_sandbox.world import World, new_id

_EMPTY = frozenset({FaultKind.EMPTY})
_FAIL = frozenset({FaultKind.FAIL})
_SUCCESSFUL = "MEDIA_GENERATION_STATUS_SUCCESSFUL"
_ACTIVE = "MEDIA_GENERATION_STATUS_ACTIVE"
_FAILED = "MEDIA_GENERATION_STATUS_FAILED"


async def get_media(call: Call) -> Response:
    """The file inside the answer."""
    account = require_bearer(call)
    asset = call.world.assets.get(call.request.path_params["name"])
    if asset is None or asset.owner != account.name:
        raise ApiError(404, "Requested entity was not found.")
    outcome = await call.begin(account=account.name, prompt=asset.prompt, outcomes=_EMPTY)
    require_stored(call.world, asset)
    encoded = "" if outcome else encode_base64(await call.world.library.content(asset.recipe))
    if asset.kind is GenerationKind.IMAGE:
        return json_response({"name": asset.name, "image": {"encodedImage": encoded}})
    video = {
        "encodedVideo": encoded,
        "seed": asset.seed,
        "prompt": asset.prompt,
        "model": asset.model,
        "aspectRatio": asset.aspect_ratio,
    }
    return json_response({"name": asset.name, "video": video})


async def concatenate(call: Call) -> Response:
    """Begin to join finished clips of the account, in their order."""
    account = require_bearer(call)
    body = await call.read(Concatenate)
    recipes, seconds = [], 0.0
    for each in body.input_videos:
        asset = call.world.assets.get(each.media_generation_id)
        if asset is None or asset.owner != account.name or not isinstance(asset.recipe, ClipRecipe):
            raise ApiError(404, "Requested entity was not found.")
        if not asset.is_available(call.world.clock.now()):
            raise ApiError(400, f"Media {asset.name} is not finished.", status="FAILED_PRECONDITION")
        length = _seconds(each.end_time_offset) - _seconds(each.start_time_offset)
        if length <= 0 or _seconds(each.end_time_offset) > asset.recipe.seconds:
            raise ApiError(400, "Time offsets lie outside the clip.")
        recipes.append(asset.recipe)
        seconds += length
    outcome = await call.begin(account=account.name, outcomes=_FAIL)
    name = f"concat-{new_id()}"
    settings = call.world.settings
    call.world.concatenations[name] = Concatenation(
        owner=account.name,
        recipe=ClipRecipe(width=recipes[0].width, height=recipes[0].height, seconds=max(1, round(seconds))),
        ready_at=call.world.clock.now() + settings.scaled(settings.concat_duration),
        fails=outcome is not None,
    )
    return json_response({"operation": {"operation": {"name": name}}})


async def check_concatenation(call: Call) -> Response:
    """Whether a join is done; then with the file."""
    account = require_bearer(call)
    name = (await call.read(CheckConcatenation)).operation.operation.name
    await call.begin(account=account.name)
    join = call.world.concatenations.get(name)
    if join is None or join.owner != account.name:
        raise ApiError(404, "Requested entity was not found.")
    return json_response(await _joined(call.world, join))


async def _joined(world: World, join: Concatenation) -> dict[str, str]:
    if world.clock.now() < join.ready_at:
        return {"status": _ACTIVE}
    if join.fails:
        return {"status": _FAILED}
    content = await world.library.content(join.recipe)
    return {"status": _SUCCESSFUL, "outputUri": "", "encodedVideo": encode_base64(content)}


def _seconds(offset: str) -> float:
    return float(offset.removesuffix("s"))
