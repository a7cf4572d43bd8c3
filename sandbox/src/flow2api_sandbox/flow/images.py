"""Pictures: generation, upsampling, credits. Source: docs/upstream/flow.md, sections 4 and 7."""

from typing import Any

from starlette.responses import Response

from flow2api_sandbox.accounts import SKUS, Account
from flow2api_sandbox.assets import FlowAsset
from flow2api_sandbox.calls import Call
from flow2api_sandbox.cdn import signed_url
from flow2api_sandbox.errors import ApiError
from flow2api_sandbox.faults import FaultKind
from flow2api_sandbox.flow.access import require_bearer, require_project, require_tier, require_verified
from flow2api_sandbox.flow.models import IMAGE_MODELS, IMAGE_SIZES, IMAGE_UPSAMPLES
from flow2api_sandbox.flow.references import require_asset
from flow2api_sandbox.flow.requests import GenerateImages, ImageRequest, UpsampleImage
from flow2api_sandbox.flow.uploads import old_media_id
from flow2api_sandbox.ledger import GenerationKind
from flow2api_sandbox.media.recipes import ImageFormat, PictureRecipe
from flow2api_sandbox.settings import ImageDelivery
from flow2api_sandbox.wire import encode_base64, json_response
from flow2api_sandbox.world import World, new_id

_EMPTY = frozenset({FaultKind.EMPTY})
_BENCHMARK_SEEDS = 16


async def get_credits(call: Call) -> Response:
    """What the account has left, and its plan."""
    account = require_bearer(call)
    await call.begin(account=account.name)
    body = {
        "credits": account.credits,
        "userPaygateTier": account.tier_name,
        "sku": SKUS[account.tier],
        "subscriptionCredits": account.credits,
        "topUpCredits": 0,
    }
    return json_response(body)


async def generate_images(call: Call) -> Response:
    """One to four pictures, after the usual time; costs no credits."""
    account = require_bearer(call)
    body = await call.read(GenerateImages)
    if call.request.path_params["project_id"] != body.client_context.project_id:
        raise ApiError(400, "The project in the path is not that of clientContext.")
    require_project(account, body.client_context)
    for request in body.requests:
        _check_image(call.world, account, body, request)
    prompt = body.requests[0].structured_prompt.text
    batch_id = body.media_generation_context.batch_id
    call.world.ledger.count_seen(prompt=prompt, route=call.route, account=account.name, batch_id=batch_id)
    outcome = await call.begin(account=account.name, prompt=prompt, outcomes=_EMPTY)
    require_verified(account)
    await _take_time(call.world, account)
    call.world.ledger.count_accepted(prompt, route=call.route)
    if outcome:
        return json_response({"media": [], "workflows": []})
    assets = [_new_picture(call.world, account, request) for request in body.requests]
    media = [await _image_entry(call, asset) for asset in assets]
    return json_response({"media": media, "workflows": [{"name": asset.workflow_id} for asset in assets]})


async def upsample_image(call: Call) -> Response:
    """A generated picture at twice or four times its size, as JPEG inside the answer."""
    account = require_bearer(call)
    body = await call.read(UpsampleImage)
    require_project(account, body.client_context)
    asset = require_asset(call.world, account, body.media_id, body.client_context.project_id, GenerationKind.IMAGE)
    factor, tier = IMAGE_UPSAMPLES[body.target_resolution]
    model = IMAGE_MODELS.get(asset.model)
    if model is None or not model.can_be_upsampled or not isinstance(asset.recipe, PictureRecipe):
        raise ApiError(400, "This media cannot be upsampled.")
    outcome = await call.begin(account=account.name, prompt=asset.prompt, outcomes=_EMPTY)
    require_verified(account)
    require_tier(account, tier, body.target_resolution)
    if outcome:
        return json_response({"encodedImage": ""})
    await call.world.clock.sleep(call.world.settings.scaled(call.world.settings.image_latency))
    width, height = asset.recipe.width * factor, asset.recipe.height * factor
    recipe = PictureRecipe(
        width=width,
        height=height,
        seed=asset.recipe.seed,
        title=asset.recipe.title,
        caption=f"{width}x{height} {asset.model} upsampled",
        image_format=ImageFormat.JPEG,
    )
    return json_response({"encodedImage": encode_base64(await call.world.library.content(recipe))})


def _check_image(world: World, account: Account, body: GenerateImages, request: ImageRequest) -> None:
    if request.client_context != body.client_context:
        raise ApiError(400, "clientContext of a request differs from the outer one.")
    if request.image_model_name != body.requests[0].image_model_name:
        raise ApiError(400, "All requests of one call must use the same model.")
    model = IMAGE_MODELS.get(request.image_model_name)
    if model is None:
        raise ApiError(400, f'Invalid value at "requests.imageModelName": {request.image_model_name}')
    if request.image_aspect_ratio not in model.aspect_ratios:
        raise ApiError(400, f'Invalid value at "requests.imageAspectRatio": {request.image_aspect_ratio}')
    if len(request.image_inputs) > model.references_at_most:
        raise ApiError(400, f"{model.name} takes at most {model.references_at_most} reference images.")
    for image in request.image_inputs:
        require_asset(world, account, image.name, request.client_context.project_id, GenerationKind.IMAGE)


async def _take_time(world: World, account: Account) -> None:
    cap = world.settings.image_cap
    if cap is not None and account.watch.running[GenerationKind.IMAGE] >= cap:
        message = "Resource has been exhausted (e.g. check quota)."
        raise ApiError(429, message, reason="PUBLIC_ERROR_USER_REQUESTS_THROTTLED")
    account.watch.enter(GenerationKind.IMAGE)
    try:
        await world.clock.sleep(world.settings.scaled(world.settings.image_latency))
    finally:
        account.watch.leave(GenerationKind.IMAGE)


def _new_picture(world: World, account: Account, request: ImageRequest) -> FlowAsset:
    width, height = IMAGE_SIZES[request.image_aspect_ratio]
    shows_prompt = world.settings.render_prompt
    prompt = request.structured_prompt.text
    recipe = PictureRecipe(
        width=width,
        height=height,
        seed=request.seed if shows_prompt else request.seed % _BENCHMARK_SEEDS,
        title=prompt if shows_prompt else "",
        caption=f"{width}x{height} {request.image_model_name}",
    )
    asset = FlowAsset(
        name=new_id(),
        owner=account.name,
        project_id=request.client_context.project_id,
        kind=GenerationKind.IMAGE,
        recipe=recipe,
        created_at=world.clock.now(),
        workflow_id=new_id(),
        prompt=prompt,
        model=request.image_model_name,
        aspect_ratio=request.image_aspect_ratio,
        seed=request.seed,
    )
    return world.remember(asset)


async def _image_entry(call: Call, asset: FlowAsset) -> dict[str, Any]:
    inline = call.world.settings.image_delivery is ImageDelivery.ENCODED_IMAGE
    width, height = IMAGE_SIZES[asset.aspect_ratio]
    generated = {
        "seed": asset.seed,
        "mediaGenerationId": old_media_id(),
        "prompt": asset.prompt,
        "modelNameType": asset.model,
        "aspectRatio": asset.aspect_ratio,
        "fifeUrl": "" if inline else signed_url(call, asset),
        "encodedImage": encode_base64(await call.world.library.content(asset.recipe)) if inline else "",
    }
    return {
        "name": asset.name,
        "projectId": asset.project_id,
        "workflowId": asset.workflow_id,
        "image": {"generatedImage": generated, "dimensions": {"width": width, "height": height}},
    }
