"""``generateContent`` on Vertex: the fields that it alone has, and inputs from buckets.

Source: docs/upstream/google-official.md, section 5.
"""

from typing import Annotated, Any, Literal

from pydantic import Field

from flow2api_sandbox.calls import Call
from flow2api_sandbox.clock import to_rfc3339
from flow2api_sandbox.credentials import Caller
from flow2api_sandbox.errors import ApiError
from flow2api_sandbox.gemini.picture_api import PictureApi
from flow2api_sandbox.gemini.requests import GenerateContent, GenerationConfig, ImageConfig, ProtoJson
from flow2api_sandbox.media.recipes import ClipRecipe, StoredFile
from flow2api_sandbox.storage.access import require_object
from flow2api_sandbox.vertex.access import identify_express, identify_principal
from flow2api_sandbox.vertex.catalog import model_not_found

INLINE_BYTES_AT_MOST = 7 * 1024 * 1024


class ImageOutputOptions(ProtoJson):
    """How the picture is encoded."""

    mime_type: Literal["image/png", "image/jpeg"] = "image/png"
    compression_quality: Annotated[int, Field(ge=0, le=100)] | None = None


class VertexImageConfig(ImageConfig):
    """What Vertex alone has."""

    person_generation: Literal["ALLOW_ALL", "ALLOW_ADULT", "ALLOW_NONE"] | None = None
    prominent_people: Literal["ALLOW_PROMINENT_PEOPLE", "BLOCK_PROMINENT_PEOPLE"] | None = None
    image_output_options: ImageOutputOptions = ImageOutputOptions()

    @property
    def output_mime_type(self) -> str:
        """The MIME type of the picture."""
        return self.image_output_options.mime_type


class VertexGenerationConfig(GenerationConfig):
    """Settings of one generation on Vertex."""

    image_config: VertexImageConfig = VertexImageConfig()


class VertexGenerateContent(GenerateContent):
    """The body on Vertex."""

    generation_config: VertexGenerationConfig = VertexGenerationConfig()


async def read_gcs_uri(
    call: Call, caller: Caller, uri: str, mime_type: str | None, allowed: frozenset[str]
) -> bytes | None:
    """The bytes of an object; ``None`` for a generated clip. Raises ApiError 400, 403."""
    recipe = require_object(call, caller, uri).recipe
    if recipe.mime_type not in allowed or mime_type != recipe.mime_type:
        raise ApiError(400, f"Unsupported MIME type: {mime_type} for {uri}, which is {recipe.mime_type}")
    if isinstance(recipe, ClipRecipe):
        return None
    return recipe.content if isinstance(recipe, StoredFile) else await call.world.library.content(recipe)


def _more_fields(call: Call) -> dict[str, Any]:
    return {"createTime": to_rfc3339(call.world.clock.now())}


VERTEX_PICTURES = PictureApi(
    identify=identify_principal,
    request_type=VertexGenerateContent,
    model_not_found=model_not_found,
    read_uri=read_gcs_uri,
    bytes_at_most=INLINE_BYTES_AT_MOST,
    more_fields=_more_fields,
    more_usage={"trafficType": "ON_DEMAND"},
)
EXPRESS_PICTURES = PictureApi(
    identify=identify_express,
    request_type=VertexGenerateContent,
    model_not_found=model_not_found,
    read_uri=read_gcs_uri,
    bytes_at_most=INLINE_BYTES_AT_MOST,
    more_fields=_more_fields,
    more_usage={"trafficType": "ON_DEMAND"},
)
