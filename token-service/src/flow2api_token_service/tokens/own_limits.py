"""A token's own limits per upstream model: how they are kept, and how they are told."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence

from flow2api_common.errors import InvalidArgument
from flow2api_proto.tokens.v1 import token_pb2
from flow2api_token_service.leases.records import OwnLimit

FIELD = "model_limits"
_MAX_LIMITS = 50
_MAX_PATTERN_LENGTH = 200
_MAX_PER_MINUTE = 60_000
_MAX_AT_ONCE = 100_000


def read_limits(text: str) -> tuple[OwnLimit, ...]:
    """The limits of the column."""
    return tuple(OwnLimit(*row) for row in json.loads(text)) if text else ()


def written_limits(limits: Sequence[OwnLimit]) -> str:
    """The limits as the column has them; empty for none."""
    return json.dumps([[each.upstream_model, each.per_minute, each.at_once] for each in limits]) if limits else ""


def limits_to_proto(text: str) -> list[token_pb2.ModelLimit]:
    """The limits of the column as messages."""
    return [
        token_pb2.ModelLimit(
            upstream_model=each.upstream_model, requests_per_minute=each.per_minute, concurrency=each.at_once
        )
        for each in read_limits(text)
    ]


def proto_to_limits(messages: Iterable[token_pb2.ModelLimit]) -> tuple[OwnLimit, ...]:
    """The limits of a request. Raises InvalidArgument."""
    limits = tuple(_limit(message) for message in messages)
    if len(limits) > _MAX_LIMITS:
        raise InvalidArgument.of(FIELD, f"A token has at most {_MAX_LIMITS} limits of its own.")
    names = [limit.upstream_model for limit in limits]
    if len(set(names)) < len(names):
        raise InvalidArgument.of(FIELD, "A model is named twice.")
    return limits


def _limit(message: token_pb2.ModelLimit) -> OwnLimit:
    name = message.upstream_model
    if not 0 < len(name) <= _MAX_PATTERN_LENGTH or "\0" in name:
        raise InvalidArgument.of(
            FIELD, f"A limit names a model, or a pattern with '*', of at most {_MAX_PATTERN_LENGTH} characters."
        )
    per_minute = message.requests_per_minute if message.HasField("requests_per_minute") else None
    at_once = message.concurrency if message.HasField("concurrency") else None
    if per_minute is None and at_once is None:
        raise InvalidArgument.of(FIELD, f"The limit of '{name}' says nothing: give requests per minute or concurrency.")
    _check(name, "requests per minute", per_minute, _MAX_PER_MINUTE)
    _check(name, "concurrency", at_once, _MAX_AT_ONCE)
    return OwnLimit(name, per_minute, at_once)


def _check(name: str, what: str, value: int | None, most: int) -> None:
    if value is not None and value != -1 and not 1 <= value <= most:
        raise InvalidArgument.of(FIELD, f"The {what} of '{name}' are -1 (unlimited), or 1 to {most}.")
