"""Names and patterns of names, in which ``*`` stands for any characters, also for none."""

from __future__ import annotations

from collections.abc import Iterable


def matches_any(name: str, patterns: Iterable[str]) -> bool:
    """Whether the name is one of these, or fits one of them. Capitals count. Linear in the lengths of both."""
    return any(_matches(name, pattern) for pattern in patterns)


def _matches(name: str, pattern: str) -> bool:
    head, *rest = pattern.split("*")
    if not rest:
        return name == pattern
    *middle, tail = rest
    if len(name) < len(head) + len(tail) or not name.startswith(head) or not name.endswith(tail):
        return False
    position, end = len(head), len(name) - len(tail)
    for part in middle:
        found = name.find(part, position, end)
        if found < 0:
            return False
        position = found + len(part)
    return True
