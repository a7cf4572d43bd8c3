"""What an interaction will make, and whether it may. Source: docs/upstream/google-official.md, section 6."""

import secrets
from dataclasses import dataclass
from typing import Literal

from flow2api_sandbox.bill import Item
from flow2api_sandbox.errors import ApiError
from flow2api_sandbox.gemini.candidates import IMAGE_INPUT_TOKENS, text_tokens
from flow2api_sandbox.gemini.interaction_requests import CreateInteraction, ImageFormat, VideoFormat
from flow2api_sandbox.gemini.models import (
    IMAGE_MODELS,
    VIDEO_MODELS,
    VIDEO_PIXELS,
    GeminiImageModel,
    GeminiVideoModel,
    pixel_size,
)
from flow2api_sandbox.gemini.store import Interaction
from flow2api_sandbox.ledger import GenerationKind
from flow2api_sandbox.media import recipes
from flow2api_sandbox.prices import OMNI_TOKENS_PER_SECOND, omni_items, picture_items, picture_tokens
from flow2api_sandbox.settings import SandboxSettings

_FRAMES_AT_MOST = 2


@dataclass(frozen=True, slots=True)
class Plan:
    """The output of one interaction."""

    kind: GenerationKind
    model_id: str
    width: int
    height: int
    seconds: int
    items: tuple[Item, ...]
    input_tokens: dict[str, int]
    output_tokens: int
    delivery: Literal["inline", "uri"]
    prompt: str
    seed: int

    def recipe(self, settings: SandboxSettings) -> recipes.Recipe:
        """The file to make."""
        if self.kind is GenerationKind.VIDEO:
            return recipes.ClipRecipe(self.width, self.height, self.seconds)
        return recipes.PictureRecipe(
            width=self.width,
            height=self.height,
            seed=self.seed,
            title=self.prompt if settings.render_prompt else "",
            caption=f"{self.width}x{self.height} {self.model_id}",
            image_format=recipes.ImageFormat.JPEG,
        )


def plan_output(body: CreateInteraction, previous: Interaction | None) -> Plan:
    """The plan. Raises ApiError 404 ``model_not_found`` and 400 for what the model does not do."""
    if not body.prompt and body.count("image") == 0:
        raise ApiError(400, "The input has no text.")
    if (video_model := VIDEO_MODELS.get(body.model)) is not None:
        return _video_plan(body, video_model, previous)
    if (image_model := IMAGE_MODELS.get(body.model)) is not None:
        return _image_plan(body, image_model)
    raise model_not_found(body.model)


def model_not_found(model_id: str) -> ApiError:
    """The 404 of a model that does not exist, is not served here or does not take part in interactions."""
    return ApiError(404, f"Model {model_id} was not found.", reason="model_not_found")


def _video_plan(body: CreateInteraction, model: GeminiVideoModel, previous: Interaction | None) -> Plan:
    wanted = body.output or VideoFormat(type="video")
    if not isinstance(wanted, VideoFormat):
        raise ApiError(400, f"Model {model.model_id} does not make images.")
    seconds = int(wanted.duration.removesuffix("s"))
    if not model.seconds_at_least <= seconds <= model.seconds_at_most:
        raise ApiError(
            400, f"duration must be from {model.seconds_at_least}s to {model.seconds_at_most}s, not {seconds}s."
        )
    _check_task(body, model, previous)
    width, height = VIDEO_PIXELS[wanted.resolution]
    if wanted.aspect_ratio == "9:16":
        width, height = height, width
    input_tokens = _input_tokens(body)
    return Plan(
        kind=GenerationKind.VIDEO,
        model_id=model.model_id,
        width=width,
        height=height,
        seconds=seconds + _earlier_seconds(body, model, previous, seconds),
        items=omni_items(model.model_id, seconds, wanted.resolution, input_tokens=sum(input_tokens.values())),
        input_tokens=input_tokens,
        output_tokens=OMNI_TOKENS_PER_SECOND * seconds,
        delivery=wanted.delivery,
        prompt=body.prompt,
        seed=0,
    )


def _earlier_seconds(
    body: CreateInteraction, model: GeminiVideoModel, previous: Interaction | None, seconds: int
) -> int:
    """How long the clip is that is extended, where it is known. Raises ApiError 400 when the whole gets too long."""
    is_extension = body.generation_config.video_config.task == "extend"
    recipe = previous.recipe if previous is not None and is_extension else None
    earlier = recipe.seconds if isinstance(recipe, recipes.ClipRecipe) else 0
    longest = model.extended_seconds_at_most
    if longest is not None and earlier + seconds > longest:
        raise ApiError(400, f"The extended video would be {earlier + seconds}s long, at most {longest}s.")
    return earlier


def _check_task(body: CreateInteraction, model: GeminiVideoModel, previous: Interaction | None) -> None:
    images, videos = body.count("image"), body.count("video")
    limit = model.references_at_most
    if images > limit or videos > limit:
        raise ApiError(400, f"At most {limit} images and {limit} videos are taken.")
    has_clip = videos > 0 or (previous is not None and previous.kind is GenerationKind.VIDEO)
    task = body.generation_config.video_config.task
    fits = {
        None: True,
        "text_to_video": images == 0 and videos == 0,
        "image_to_video": 1 <= images <= _FRAMES_AT_MOST and videos == 0,
        "reference_to_video": images + videos >= 1,
        "edit": has_clip,
        "extend": has_clip,
        "upscale": has_clip,
    }
    if not fits[task]:
        raise ApiError(400, f"The input does not fit the task {task}: {images} images, {videos} videos.")


def _image_plan(body: CreateInteraction, model: GeminiImageModel) -> Plan:
    wanted = body.output or ImageFormat(type="image")
    if not isinstance(wanted, ImageFormat):
        raise ApiError(400, f"Model {model.model_id} does not make videos.")
    if wanted.image_size not in model.sizes or wanted.aspect_ratio not in model.ratios:
        raise ApiError(400, f"Model {model.model_id} does not make {wanted.aspect_ratio} at {wanted.image_size}.")
    width, height = pixel_size(wanted.aspect_ratio, wanted.image_size)
    seed = body.generation_config.seed
    input_tokens = _input_tokens(body)
    return Plan(
        kind=GenerationKind.IMAGE,
        model_id=model.model_id,
        width=width,
        height=height,
        seconds=0,
        items=picture_items(model.model_id, wanted.image_size, input_tokens=sum(input_tokens.values())),
        input_tokens=input_tokens,
        output_tokens=picture_tokens(model.model_id, wanted.image_size),
        delivery=wanted.delivery,
        prompt=body.prompt,
        seed=secrets.randbelow(2**31) if seed is None else seed,
    )


def _input_tokens(body: CreateInteraction) -> dict[str, int]:
    tokens = {"text": text_tokens(body.prompt)}
    if images := body.count("image"):
        tokens["image"] = IMAGE_INPUT_TOKENS * images
    return tokens
