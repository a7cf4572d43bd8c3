"""What an API key may do, and which values of it make sense."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from functools import partial
from typing import Any

from flow2api_common.errors import InvalidArgument
from flow2api_common.name_patterns import matches_any
from flow2api_token_service.access.models import UNLIMITED

MAX_NAME_LENGTH = 100
MAX_WEIGHT = 1000
MAX_REQUESTS_PER_MINUTE = 60_000
"""Each request of a minute is remembered for a minute; see `request_limit.py`."""

_MAX_INT32 = 2**31 - 1
_MAX_INT64 = 2**63 - 1
_MAX_PATTERNS = 100
_PATTERN = re.compile(r"[A-Za-z0-9._:/@*-]{1,100}", re.ASCII)


def policy_values(values: Mapping[str, Any], *, now: datetime) -> dict[str, Any]:
    """Some fields of a key's row, checked and tidied. Raises InvalidArgument naming the field as the RPCs call it."""
    tidy: dict[str, Callable[[Any], Any]] = {**_TIDY, "expires_at": partial(_end, now=now)}
    return {field: tidy[field](value) for field, value in values.items()}


def may_use(allowed_models: Iterable[str], model_ids: Iterable[str]) -> bool:
    """Whether a key may use a model that has these ids."""
    allowed = tuple(allowed_models)
    return not allowed or any(matches_any(model_id, allowed) for model_id in model_ids)


def _name(value: str) -> str:
    if not value.strip() or len(value) > MAX_NAME_LENGTH or "\0" in value:
        raise InvalidArgument.of("name", f"A name of at most {MAX_NAME_LENGTH} characters is required.")
    return value.strip()


def _number(field: str, *, least: int, most: int, can_be_unlimited: bool = True) -> Callable[[int], int]:
    sentence = f"{least} to {most}, or -1 for unlimited." if can_be_unlimited else f"{least} to {most}."

    def check(value: int) -> int:
        if not least <= value <= most and not (can_be_unlimited and value == UNLIMITED):
            raise InvalidArgument.of(field, f"It must be {sentence}")
        return value

    return check


def _models(patterns: Iterable[str]) -> list[str]:
    tidy = list(dict.fromkeys(pattern.strip() for pattern in patterns))
    if len(tidy) > _MAX_PATTERNS:
        raise InvalidArgument.of("allowed_models", f"There are more than {_MAX_PATTERNS} models.")
    for position, pattern in enumerate(tidy):
        if not _PATTERN.fullmatch(pattern):
            raise InvalidArgument.of(
                f"allowed_models[{position}]", "It is no id of a model, nor one in which '*' stands for any characters."
            )
    return tidy


def _end(time: datetime | None, now: datetime) -> datetime | None:
    if time is not None and time <= now:
        raise InvalidArgument.of("expire_time", "This time has passed.")
    return time


_TIDY: dict[str, Callable[[Any], Any]] = {
    "name": _name,
    "max_concurrency": _number("max_concurrency", least=0, most=_MAX_INT32),
    "weight": _number("weight", least=1, most=MAX_WEIGHT, can_be_unlimited=False),
    "requests_per_minute": _number("requests_per_minute", least=1, most=MAX_REQUESTS_PER_MINUTE),
    "daily_credit_budget": _number("daily_credit_budget", least=0, most=_MAX_INT64),
    "daily_budget_micro_usd": _number("daily_budget_micro_usd", least=0, most=_MAX_INT64),
    "allowed_models": _models,
}
