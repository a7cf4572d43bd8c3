"""Buckets and what is in them. Objects are kept as recipes, so that a thousand clips take no memory."""

from dataclasses import dataclass, field
from typing import NamedTuple

from flow2api_sandbox.credentials import Work
from flow2api_sandbox.media.recipes import Recipe

_SCHEME = "gs://"


class GcsUri(NamedTuple):
    """A bucket and a name (or a prefix of names) in it."""

    bucket: str
    name: str

    def __str__(self) -> str:
        """``gs://bucket/name``."""
        return f"{_SCHEME}{self.bucket}/{self.name}"


@dataclass(frozen=True, slots=True)
class StoredObject:
    """One object; it can be read from ``active_at`` on. Times are seconds of the sandbox's clock."""

    recipe: Recipe
    created_at: float
    active_at: float
    course: Work | None = None


@dataclass(slots=True)
class Bucket:
    """One bucket. Those who have a role in its project may read and write."""

    name: str
    project: str
    objects: dict[str, StoredObject] = field(default_factory=dict)


class ObjectStore:
    """All buckets."""

    def __init__(self) -> None:
        self.buckets: dict[str, Bucket] = {}

    def add_bucket(self, name: str, *, project: str) -> Bucket:
        """Make a bucket known."""
        return self.buckets.setdefault(name, Bucket(name, project))

    def find(self, uri: GcsUri) -> StoredObject | None:
        """An object; ``None`` when the bucket or the name is not known."""
        bucket = self.buckets.get(uri.bucket)
        return bucket.objects.get(uri.name) if bucket is not None else None

    def put(self, uri: GcsUri, stored: StoredObject) -> None:
        """Write an object over what was there. Raises KeyError for an unknown bucket."""
        self.buckets[uri.bucket].objects[uri.name] = stored


def parse_gcs_uri(text: str) -> GcsUri | None:
    """The parts of a ``gs://`` URI; ``None`` for anything else. The name may be empty."""
    if not text.startswith(_SCHEME):
        return None
    bucket, _, name = text.removeprefix(_SCHEME).partition("/")
    return GcsUri(bucket, name) if bucket else None
