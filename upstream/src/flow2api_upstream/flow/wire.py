"""Answers about clips, read in all their shapes: the current ``media`` form, the old ``operations`` form, or both.

Source: docs/upstream/flow.md, sections 8 and 9.
"""

import re
from collections.abc import Mapping
from dataclasses import replace
from urllib.parse import urlsplit

from flow2api_upstream.flow.handles import FlowOperation
from flow2api_upstream.json_reading import find_texts, first_text, object_at, objects_at, text_at

_URL_NAMES = ("fifeUrl", "videoUrl", "outputUri", "downloadUri")
_MEDIA_ID_IN_PATH = re.compile(r"/video/([0-9a-fA-F-]{36})")


def operations_of(answer: Mapping[str, object], project_id: str) -> list[FlowOperation]:
    """The clips that a submission made, one per clip, whichever forms name them."""
    workflows = {
        text_at(workflow, "metadata", "primaryMediaId"): text_at(workflow, "name")
        for workflow in objects_at(answer, "workflows")
    }
    old = [
        FlowOperation(
            project=project_id, operation=text_at(entry, "operation", "name"), scene=text_at(entry, "sceneId")
        )
        for entry in objects_at(answer, "operations")
        if text_at(entry, "operation", "name")
    ]
    current = [
        FlowOperation(
            name=text_at(entry, "name"),
            project=first_text(text_at(entry, "projectId"), project_id),
            workflow=first_text(text_at(entry, "workflowId"), workflows.get(text_at(entry, "name"), "")),
            operation=text_at(entry, "video", "operation", "name"),
        )
        for entry in objects_at(answer, "media")
        if text_at(entry, "name")
    ]
    return _merged(current, old)


def _merged(current: list[FlowOperation], old: list[FlowOperation]) -> list[FlowOperation]:
    merged: list[FlowOperation] = []
    left = list(old)
    for clip in current:
        twin = next((other for other in left if other.operation in clip.names), None)
        if twin is None and len(current) == len(old):
            twin = left[0] if left else None  # Both forms list the clips in the same order.
        if twin is not None:
            left.remove(twin)
            clip = replace(clip, operation=twin.operation, scene=twin.scene)
        merged.append(clip)
    return merged + (left if not current else [])


def entries_of(answer: Mapping[str, object]) -> list[Mapping[str, object]]:
    """The entries of a status answer in either form."""
    return [*objects_at(answer, "media"), *objects_at(answer, "operations")]


def names_of(entry: Mapping[str, object]) -> frozenset[str]:
    """Every name that a status entry goes by."""
    names = {
        text_at(entry, "name"),
        text_at(entry, "operation", "name"),
        text_at(entry, "video", "operation", "name"),
    }
    return frozenset(names - {""})


def status_word_of(entry: Mapping[str, object]) -> str:
    """The status of an entry, empty if it has none."""
    return first_text(
        text_at(entry, "mediaMetadata", "mediaStatus", "mediaGenerationStatus"),
        text_at(entry, "mediaStatus", "mediaGenerationStatus"),
        text_at(entry, "status"),
    )


def is_filtered(entry: Mapping[str, object]) -> bool:
    """Whether the entry says that its media is hidden by a filter."""
    places = (entry, object_at(entry, "mediaMetadata"), object_at(entry, "mediaMetadata", "mediaStatus"))
    return any("FILTERED" in text_at(place, name) for place in places for name in ("visibility", "mediaVisibility"))


def url_of(entry: Mapping[str, object]) -> str:
    """The signed address of the clip, empty if the answer has none, as usual since June 2026."""
    video = object_at(entry, "video") or object_at(entry, "operation", "metadata", "video")
    found = (next(find_texts(video, frozenset({name})), "") for name in _URL_NAMES)
    return next((url for url in found if url.startswith(("https://", "http://"))), "")


def media_name_of(entry: Mapping[str, object], url: str) -> str:
    """The media name: the entry's own, else that of the old form, else the UUID in the path of its address."""
    in_path = _MEDIA_ID_IN_PATH.search(urlsplit(url).path) if url else None
    return first_text(
        text_at(entry, "name"),
        in_path[1] if in_path else "",
        text_at(entry, "operation", "metadata", "video", "mediaGenerationId"),
    )
