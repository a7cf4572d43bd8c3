"""What differs between the official APIs in ``interactions``, as functions.

Source: docs/upstream/google-official.md, section 6.
"""

from collections.abc import Callable
from dataclasses import dataclass

from flow2api_sandbox.calls import Call
from flow2api_sandbox.credentials import Caller
from flow2api_sandbox.gemini.access import identify_key
from flow2api_sandbox.gemini.inputs import read_file_uri
from flow2api_sandbox.gemini.interaction_requests import CreateInteraction, ImageFormat, VideoFormat
from flow2api_sandbox.gemini.picture_api import ReadUri
from flow2api_sandbox.gemini.store import Interaction, add_generated_file

PlaceResult = Callable[[Call, Caller, VideoFormat | ImageFormat | None], Callable[[Interaction], None]]
"""Checks where a result of delivery ``uri`` shall go, and gives what puts it there. Raises ApiError."""


@dataclass(frozen=True, slots=True)
class InteractionApi:
    """One API's side of ``interactions``. ``bytes_at_most`` limits one picture inside the request."""

    identify: Callable[[Call], Caller]
    request_type: type[CreateInteraction]
    read_uri: ReadUri
    place_result: PlaceResult
    bytes_at_most: int | None = None


def _place_in_files(
    call: Call, caller: Caller, _wanted: VideoFormat | ImageFormat | None
) -> Callable[[Interaction], None]:
    """The file of a result, which becomes ACTIVE when the work is over and stored."""

    def place(interaction: Interaction) -> None:
        file = add_generated_file(
            call.world.gemini,
            owner=caller.owner,
            recipe=interaction.recipe,
            course=interaction,
            active_at=interaction.ends_at + interaction.storing_delay,
            at_least_bytes=call.world.clips_at_least_bytes,
        )
        interaction.file_id = file.file_id

    return place


GEMINI_INTERACTIONS = InteractionApi(
    identify=identify_key,
    request_type=CreateInteraction,
    read_uri=read_file_uri,
    place_result=_place_in_files,
)
