"""``interactions`` on Vertex: results with delivery ``uri`` go to a bucket.

Source: docs/upstream/google-official.md, section 6.
"""

import secrets
from collections.abc import Callable
from typing import Annotated

from pydantic import Field, field_validator

from flow2api_sandbox.calls import Call
from flow2api_sandbox.credentials import Caller
from flow2api_sandbox.errors import ApiError
from flow2api_sandbox.gemini.interaction_api import InteractionApi
from flow2api_sandbox.gemini.interaction_requests import CreateInteraction, ImageFormat, VideoFormat
from flow2api_sandbox.gemini.store import Interaction
from flow2api_sandbox.storage.access import require_prefix
from flow2api_sandbox.storage.store import GcsUri, StoredObject
from flow2api_sandbox.vertex.access import identify_principal
from flow2api_sandbox.vertex.pictures import INLINE_BYTES_AT_MOST, read_gcs_uri


class VertexVideoFormat(VideoFormat):
    """What the clip shall be, and where it goes."""

    gcs_uri: str | None = None


class VertexImageFormat(ImageFormat):
    """What the picture shall be, and where it goes."""

    gcs_uri: str | None = None


VertexResponseFormat = Annotated[VertexVideoFormat | VertexImageFormat, Field(discriminator="type")]


class CreateVertexInteraction(CreateInteraction):
    """``POST …/interactions`` on Vertex."""

    response_format: VertexResponseFormat | None = None

    @field_validator("response_format", mode="before")
    @classmethod
    def _unwrap_single_format(cls, value: object) -> object:
        return value[0] if isinstance(value, list) and len(value) == 1 else value


def _place_in_bucket(
    call: Call, caller: Caller, wanted: VideoFormat | ImageFormat | None
) -> Callable[[Interaction], None]:
    gcs_uri = getattr(wanted, "gcs_uri", None)
    if gcs_uri is None:
        raise ApiError(400, "response_format.gcs_uri is needed with delivery uri.")
    prefix = require_prefix(call, caller, gcs_uri)

    def place(interaction: Interaction) -> None:
        suffix = "mp4" if interaction.recipe.mime_type == "video/mp4" else "jpg"
        uri = GcsUri(prefix.bucket, f"{prefix.name}{secrets.token_hex(8)}/output_0.{suffix}")
        stored = StoredObject(interaction.recipe, interaction.created_at, interaction.ends_at, course=interaction)
        call.world.storage.put(uri, stored)
        interaction.gcs_uri = str(uri)

    return place


VERTEX_INTERACTIONS = InteractionApi(
    identify=identify_principal,
    request_type=CreateVertexInteraction,
    read_uri=read_gcs_uri,
    place_result=_place_in_bucket,
    bytes_at_most=INLINE_BYTES_AT_MOST,
)
