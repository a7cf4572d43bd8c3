"""Names of fields as the client knows them, in errors that speak of ours."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from flow2api_common.errors import FieldViolation, Flow2APIError

_HEAD = re.compile(r"^[A-Za-z_]+")


@contextmanager
def client_fields(names: Mapping[str, str]) -> Iterator[None]:
    """Within it, violations that name a field of a gRPC request leave naming the client's field instead.

    ``names`` maps the first step of the field's path (``input_images`` of ``input_images[2].data``).
    """
    try:
        yield
    except Flow2APIError as error:
        error.violations = tuple(
            FieldViolation(_renamed(violation.field, names), violation.description) for violation in error.violations
        )
        raise


def _renamed(field: str, names: Mapping[str, str]) -> str:
    head = _HEAD.match(field)
    return names.get(head.group(), field) if head else field
