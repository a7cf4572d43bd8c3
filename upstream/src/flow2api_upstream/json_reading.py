"""Lenient reading of JSON that is not ours: a missing or oddly typed member is empty, never an error."""

from collections.abc import Iterator, Mapping, Sequence
from typing import cast


def as_object(value: object) -> Mapping[str, object]:
    """The value if it is an object, else an empty one."""
    return cast("Mapping[str, object]", value) if isinstance(value, dict) else {}


def as_list(value: object) -> Sequence[object]:
    """The value if it is a list, else an empty one."""
    return cast("Sequence[object]", value) if isinstance(value, list) else ()


def objects(value: object) -> list[Mapping[str, object]]:
    """The objects of a list; a single object counts as a list of one."""
    if isinstance(value, dict):
        return [as_object(value)]
    return [as_object(item) for item in as_list(value) if isinstance(item, dict)]


def at(value: object, *path: str) -> object:
    """What lies under a path of member names, None where it breaks off."""
    for name in path:
        value = as_object(value).get(name)
    return value


def text_at(value: object, *path: str) -> str:
    """The string under a path, else an empty one."""
    found = at(value, *path)
    return found if isinstance(found, str) else ""


def object_at(value: object, *path: str) -> Mapping[str, object]:
    """The object under a path, else an empty one."""
    return as_object(at(value, *path))


def objects_at(value: object, *path: str) -> list[Mapping[str, object]]:
    """The objects of the list under a path."""
    return objects(at(value, *path))


def int_at(value: object, *path: str) -> int | None:
    """The integer under a path; protobuf JSON writes 64-bit ones as strings."""
    found = at(value, *path)
    if isinstance(found, bool):
        return None
    if isinstance(found, int):
        return found
    if isinstance(found, float) and found.is_integer():
        return int(found)
    if isinstance(found, str) and found.lstrip("-").isdigit():
        return int(found)
    return None


def first_text(*candidates: str) -> str:
    """The first string that is not empty."""
    return next((candidate for candidate in candidates if candidate), "")


def find_texts(value: object, names: frozenset[str]) -> Iterator[str]:
    """Strings anywhere inside the value whose member name is one of ``names``, outer ones first."""
    inner: list[object] = []
    for name, member in as_object(value).items():
        if name in names and isinstance(member, str) and member:
            yield member
        inner.append(member)
    inner.extend(as_list(value))
    for member in inner:
        yield from find_texts(member, names)
