"""Files that a Google client names by URI. Source: docs/upstream/google-official.md, sections 5 and 9."""

from __future__ import annotations

import re

from flow2api_common.errors import InvalidArgument
from flow2api_gateway.generation.pictures import PictureSource
from flow2api_proto.generation.v1 import media_pb2

# The host is not looked at: clients that rewrite it, or that kept Google's, mean the file of that id all the same.
_FILE = re.compile(r"(?:https?://[^/?#]+/(?:v1beta|v1)/)?files/(?P<id>[A-Za-z0-9_-]{1,100})(?::download)?(?:\?[^#]*)?")
_URL = re.compile(r"(https?://|data:)", re.IGNORECASE)


def file_id_of(uri: str) -> str | None:
    """The id in ``files/x`` or in the URI of a file of the Files API; nothing for any other URI."""
    match = _FILE.fullmatch(uri)
    return match["id"] if match else None


def uri_source(
    uri: str,
    param: str,
    *,
    role: media_pb2.InputImageRole.ValueType = media_pb2.INPUT_IMAGE_ROLE_UNSPECIFIED,
    implied: bool = False,
) -> PictureSource:
    """Where the picture of a URI is: a file of ours, or somewhere on the web. Raises InvalidArgument on ``param``."""
    file_id = file_id_of(uri)
    if file_id is not None:
        return PictureSource(param=param, media_id=file_id, role=role, implied=implied)
    if _URL.match(uri):
        return PictureSource(param=param, url=uri, role=role, implied=implied)
    raise InvalidArgument.of(
        param, "The URI is neither one of the Files API nor an https URL.", reason="INVALID_IMAGE_URL"
    )
