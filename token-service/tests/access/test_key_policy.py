"""Which models a key may use, and which values are refused."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from flow2api_common.errors import InvalidArgument
from flow2api_token_service.access.key_policy import may_use, policy_values

NOW = datetime(2026, 11, 24, tzinfo=UTC)


@pytest.mark.parametrize(
    ("allowed", "ids"),
    [
        ([], ["veo-3.1"]),
        (["veo-3.1"], ["veo-3.1"]),
        (["veo-*"], ["veo-3.1"]),
        (["*"], ["anything"]),
        (["gemini-2.5-flash-image"], ["flash-image", "gemini-2.5-flash-image"]),
        (["*-flash-*-landscape"], ["gemini-2.5-flash-image-landscape"]),
        (["a*a"], ["aa"]),
    ],
)
def test_allowed_model(allowed: list[str], ids: list[str]) -> None:
    assert may_use(allowed, ids)


@pytest.mark.parametrize(
    ("allowed", "ids"),
    [
        (["veo-3.1"], ["veo-3.1-fast"]),
        (["veo-3.1"], ["veo-301"]),
        (["veo-*"], ["my-veo-3"]),
        (["Veo-*"], ["veo-3"]),
        (["a*a"], ["a"]),
        (["*-x-*-y"], ["a-x-y"]),
        (["veo-*"], [""]),
    ],
)
def test_model_that_is_not_allowed(allowed: list[str], ids: list[str]) -> None:
    assert not may_use(allowed, ids)


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"name": "  "}, "name"),
        ({"name": "x" * 101}, "name"),
        ({"name": "a\0b"}, "name"),
        ({"max_concurrency": -2}, "max_concurrency"),
        ({"weight": 0}, "weight"),
        ({"weight": -1}, "weight"),
        ({"weight": 1001}, "weight"),
        ({"requests_per_minute": 0}, "requests_per_minute"),
        ({"requests_per_minute": 60_001}, "requests_per_minute"),
        ({"daily_credit_budget": -2}, "daily_credit_budget"),
        ({"daily_budget_micro_usd": -2}, "daily_budget_micro_usd"),
        ({"allowed_models": ["veo-*", "no spaces"]}, "allowed_models[1]"),
        ({"allowed_models": [""]}, "allowed_models[0]"),
        ({"allowed_models": [f"m{number}" for number in range(101)]}, "allowed_models"),
        ({"expires_at": NOW}, "expire_time"),
    ],
)
def test_wrong_value_names_its_field(values: dict[str, object], field: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        policy_values(values, now=NOW)
    assert [violation.field for violation in caught.value.violations] == [field]


def test_values_are_tidied() -> None:
    tidy = policy_values({"name": " mine ", "allowed_models": ["a", " b", "a"], "expires_at": None}, now=NOW)
    assert tidy == {"name": "mine", "allowed_models": ["a", "b"], "expires_at": None}


def test_end_in_the_future_is_kept() -> None:
    end = NOW + timedelta(seconds=1)
    assert policy_values({"expires_at": end}, now=NOW) == {"expires_at": end}
