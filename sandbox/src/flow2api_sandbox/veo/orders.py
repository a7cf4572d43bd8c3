"""What a clip of Veo shall be, whichever API it was asked on, checked by the rules that both share.

Source: docs/upstream/google-official.md, section 8. Where it is not certain the stricter reading was taken.
"""

from dataclasses import dataclass
from typing import Literal

from flow2api_sandbox.bill import Item
from flow2api_sandbox.errors import ApiError
from flow2api_sandbox.media.measure import ClipShape
from flow2api_sandbox.media.recipes import ClipRecipe
from flow2api_sandbox.prices import veo_item
from flow2api_sandbox.veo.models import EXTENSION_SECONDS, LONGEST_SECONDS, PIXELS, VeoModel

_LONGEST = 8
_REFERENCES_AT_MOST = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class VeoOrder:
    """One request; ``source`` is the clip that is to be extended."""

    prompt: str
    has_image: bool = False
    has_last_frame: bool = False
    reference_count: int = 0
    source: ClipShape | None = None
    sample_count: int = 1
    seconds: int = 8
    aspect_ratio: Literal["16:9", "9:16"] | None = None
    resolution: Literal["720p", "1080p", "4k"] = "720p"
    person_generation: str | None = None
    has_audio: bool = True
    resizes: bool = False

    def recipe(self) -> ClipRecipe:
        """The clip."""
        width, height = PIXELS[self.resolution]
        if self.source is not None:
            is_upright = self.source.height > self.source.width
            seconds = self.source.seconds + EXTENSION_SECONDS
        else:
            is_upright, seconds = self.aspect_ratio == "9:16", self.seconds
        return ClipRecipe(height, width, seconds) if is_upright else ClipRecipe(width, height, seconds)

    def item(self, model: VeoModel) -> Item:
        """What one clip costs."""
        seconds = EXTENSION_SECONDS if self.source is not None else self.seconds
        return veo_item(model.grade, seconds, self.resolution, has_audio=self.has_audio)


def check_order(order: VeoOrder, model: VeoModel) -> None:
    """Raise ApiError 400 for what Veo does not do."""
    if not order.prompt and not order.has_image:
        raise ApiError(400, "The prompt is required unless an image is given.")
    if order.has_last_frame and not order.has_image:
        raise ApiError(400, "lastFrame is only taken together with image.")
    if order.reference_count > _REFERENCES_AT_MOST:
        raise ApiError(400, f"Too many reference images: {order.reference_count}, at most {_REFERENCES_AT_MOST}.")
    if order.reference_count and (order.has_image or order.has_last_frame or order.source is not None):
        raise ApiError(400, "referenceImages cannot be used together with image, lastFrame or video.")
    if order.source is not None and (order.has_image or order.has_last_frame):
        raise ApiError(400, "video cannot be used together with image or lastFrame.")
    if order.resizes and not order.has_image:
        raise ApiError(400, "resizeMode is only taken with an image.")
    if order.resolution not in model.resolutions:
        raise ApiError(400, f"Resolution {order.resolution} is not supported by {model.model_id}.")
    if order.seconds != _LONGEST and (order.resolution != "720p" or order.reference_count or order.source is not None):
        raise ApiError(
            400,
            f"durationSeconds must be {_LONGEST} for 1080p, 4k, reference images and extension, not {order.seconds}.",
        )
    if order.person_generation == "allow_all" and (order.has_image or order.reference_count):
        raise ApiError(400, "personGeneration allow_all is only taken for text to video.")
    if order.source is not None:
        _check_source(order, order.source)


def _check_source(order: VeoOrder, source: ClipShape) -> None:
    shape = (source.width, source.height)
    if shape not in {size for pair in PIXELS.values() for size in (pair, pair[::-1])}:
        raise ApiError(400, "The video must be one that Veo generated.")
    if source.seconds + EXTENSION_SECONDS > LONGEST_SECONDS:
        raise ApiError(400, f"The video must be at most {LONGEST_SECONDS - EXTENSION_SECONDS} seconds long.")
    is_upright = source.height > source.width
    if order.aspect_ratio is not None and (order.aspect_ratio == "9:16") is not is_upright:
        raise ApiError(400, f"aspectRatio {order.aspect_ratio} is not that of the video.")
