"""``FLOW2API_MEDIA_URL``: a directory, or a bucket of anything that speaks S3.

``file:///absolute/directory``, or ``s3://bucket/prefix?endpoint=…&region=…&path_style=…``. Buckets are named in the
path of the address (path style) unless ``path_style`` is ``false``: every server of this kind understands that, and no
wildcard name is needed.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import SplitResult, parse_qs, unquote, urlsplit

_OPTIONS: Final = ("endpoint", "path_style", "region")


@dataclass(frozen=True, slots=True)
class Directory:
    """Files on disk."""

    path: Path


@dataclass(frozen=True, slots=True)
class Bucket:
    """Objects of a bucket below a prefix; what is empty or None is left to the ``AWS_…`` variables."""

    name: str
    prefix: str
    endpoint: str
    region: str
    path_style: bool | None


def read_media_url(url: str) -> Directory | Bucket:
    """The place that it names. Raises ValueError, which never repeats the URL: somebody may put a secret into it."""
    parts = urlsplit(url)
    if parts.scheme == "file" and not parts.netloc and parts.path.startswith("/"):
        return Directory(Path(unquote(parts.path)))
    if parts.scheme == "s3" and parts.netloc:
        return _bucket(parts)
    raise ValueError("must be file:///an/absolute/directory or s3://bucket/prefix")


def _bucket(parts: SplitResult) -> Bucket:
    if "@" in parts.netloc:
        raise ValueError("must hold no credentials: they belong into AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY")
    options = parse_qs(parts.query, keep_blank_values=True)
    if not options.keys() <= set(_OPTIONS) or any(len(values) != 1 or not values[0] for values in options.values()):
        raise ValueError(f"may have {', '.join(_OPTIONS)} after the question mark, each once")
    given = {name: values[0] for name, values in options.items()}
    endpoint, path_style = given.get("endpoint", ""), given.get("path_style")
    if endpoint and not endpoint.startswith(("http://", "https://")):
        raise ValueError("must have an endpoint that begins with http:// or https://")
    if path_style not in {None, "true", "false"}:
        raise ValueError("must have true or false as path_style")
    return Bucket(
        name=parts.netloc,
        prefix=unquote(parts.path).strip("/"),
        endpoint=endpoint,
        region=given.get("region", ""),
        path_style=None if path_style is None else path_style == "true",
    )
