"""Stored files as Google's File objects. Source: docs/upstream/google-official.md, section 9."""

from __future__ import annotations

from typing import Any

from flow2api_gateway.gemini.rendering import rfc3339
from flow2api_gateway.media.links import MediaLinks
from flow2api_proto.generation.v1 import media_pb2


def file_uri(links: MediaLinks, file_id: str) -> str:
    """The URI of a file, as later requests name it."""
    return f"{links.base_url}/v1beta/files/{file_id}"


def download_uri(links: MediaLinks, file_id: str) -> str:
    """Where the bytes of a generated file are; it wants the key that made it."""
    return f"{file_uri(links, file_id)}:download?alt=media"


def google_file(media: media_pb2.Media, links: MediaLinks, *, file_id: str) -> dict[str, Any]:
    """The File object."""
    document: dict[str, Any] = {
        "name": f"files/{file_id}",
        "uri": file_uri(links, file_id),
        "mimeType": media.content_type,
        "sizeBytes": str(media.size_bytes),
        "createTime": rfc3339(media.create_time),
        "updateTime": rfc3339(media.create_time),
        "state": "ACTIVE",
        "source": "GENERATED" if media.generated else "UPLOADED",
    }
    if media.file_name:
        document["displayName"] = media.file_name
    if media.HasField("expire_time"):
        document["expirationTime"] = rfc3339(media.expire_time)
    if media.generated:
        document["downloadUri"] = download_uri(links, file_id)
    return document
