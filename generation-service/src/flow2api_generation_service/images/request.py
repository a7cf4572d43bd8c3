"""A GenerateImage request, checked."""

from __future__ import annotations

import asyncio
import hashlib
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field

from flow2api_common.errors import InvalidArgument
from flow2api_generation_service.catalog.catalog import Catalog
from flow2api_generation_service.catalog.image_plan import ImageFacts, ImagePlan
from flow2api_generation_service.catalog.model import Modality
from flow2api_generation_service.idempotency_keys import check_key
from flow2api_generation_service.media.input_pictures import InputPicture, digest_of
from flow2api_generation_service.media.service import MediaService
from flow2api_proto.generation.v1 import image_pb2

LONGEST_PROMPT = 32_000
MOST_IMAGES = 10

# The smaller of the providers' ranges: docs/upstream/flow.md, section 7.
_LARGEST_SEED = 999_999
NOBODY = "dont_allow"
"""Show no people."""
_PERSON_GENERATIONS = ("allow_all", "allow_adult", NOBODY)


@dataclass(frozen=True, slots=True)
class ImageRequest:
    """What to make. ``first_seed`` is that of the first picture; the others count on from it, so that all differ."""

    plan: ImagePlan
    prompt: str = field(repr=False)
    pictures: tuple[InputPicture, ...] = field(repr=False)
    first_seed: int
    image_count: int
    api_key_id: str
    person_generation: str = ""

    @property
    def model_id(self) -> str:
        """The public id that is served, after aliases."""
        return self.plan.model.served_id

    def seed_of(self, image_index: int) -> int:
        """The seed of one of the pictures."""
        return self.first_seed + image_index


async def read_request(request: image_pb2.GenerateImageRequest, catalog: Catalog, media: MediaService) -> ImageRequest:
    """Check a request and open its pictures.

    Raises NotFound (MODEL_NOT_FOUND, MEDIA_NOT_FOUND) and InvalidArgument naming ``model``, ``prompt``, ``n``,
    ``seed``, ``request_id``, or what the catalog refuses.
    """
    check_request(request, catalog)
    pictures = await asyncio.gather(
        *(media.load_picture(image, api_key_id=request.api_key_id) for image in request.input_images)
    )
    return planned_request(request, pictures, catalog)


def check_request(request: image_pb2.GenerateImageRequest, catalog: Catalog) -> None:
    """Everything that needs no picture to be read. Raises as `read_request`."""
    model = catalog.resolve(request.model_id)
    if model.modality is not Modality.IMAGE:
        raise InvalidArgument.of("model", f"The model {model.model_id} makes videos, not images.")
    _check_values(request)
    if len(request.input_images) > model.max_input_images:
        raise InvalidArgument.of(
            "input_images", f"The model {model.model_id} takes at most {model.max_input_images} input images."
        )


def planned_request(
    request: image_pb2.GenerateImageRequest, pictures: Sequence[InputPicture], catalog: Catalog
) -> ImageRequest:
    """A checked request with its pictures, and how to make it. Raises what the catalog refuses."""
    plan = catalog.plan_image(
        ImageFacts(
            model_id=request.model_id,
            input_image_count=len(pictures),
            aspect_ratio=request.aspect_ratio,
            size=(request.size.width, request.size.height) if request.HasField("size") else None,
            resolution=request.resolution,
            reference_size=(pictures[0].width, pictures[0].height) if pictures else None,
        )
    )
    return ImageRequest(
        plan=plan,
        prompt=request.prompt,
        pictures=tuple(pictures),
        first_seed=request.seed if request.HasField("seed") else 1 + secrets.randbelow(_LARGEST_SEED - MOST_IMAGES),
        image_count=request.image_count or 1,
        api_key_id=request.api_key_id,
        person_generation=request.person_generation,
    )


async def request_hash(request: image_pb2.GenerateImageRequest, pictures: Sequence[InputPicture]) -> str:
    """A digest of everything that the client asked for, without its idempotency key.

    ``pictures`` are those of the request. They count by their content, because a repeat uploads large ones anew, under
    other ids.
    """
    body = image_pb2.GenerateImageRequest()
    body.CopyFrom(request)
    body.request_id = body.request_scope = ""
    for image, picture in zip(body.input_images, pictures, strict=True):
        image.data = await digest_of(picture)
    return hashlib.sha256(body.SerializeToString(deterministic=True)).hexdigest()


def _check_values(request: image_pb2.GenerateImageRequest) -> None:
    if not request.prompt.strip() and not request.input_images:
        raise InvalidArgument.of("prompt", "A prompt is needed.")
    if len(request.prompt) > LONGEST_PROMPT:
        raise InvalidArgument.of("prompt", f"A prompt has at most {LONGEST_PROMPT} characters.")
    if not 0 <= request.image_count <= MOST_IMAGES:
        raise InvalidArgument.of("n", f"Between 1 and {MOST_IMAGES} images can be asked for at once.")
    if request.HasField("seed") and request.seed < 0:
        raise InvalidArgument.of("seed", "A seed is not negative.")
    if request.person_generation and request.person_generation not in _PERSON_GENERATIONS:
        known = ", ".join(_PERSON_GENERATIONS)
        raise InvalidArgument.of("person_generation", f"The people that may be shown are one of: {known}.")
    if not request.api_key_id:
        raise InvalidArgument.of("api_key_id", "The API key on whose behalf this is has to be named.")
    check_key(request.request_id, request.request_scope)
