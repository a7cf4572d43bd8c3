"""What applications do with LiteLLM's client: one program for all scenarios, run once in each mode."""

from __future__ import annotations

import pytest

from flow2api_testing.sdk_programs import Outcome, run_litellm_scenarios, scenario_names

pytestmark = pytest.mark.timeout(600)

NAMES = scenario_names("litellm")


@pytest.fixture(scope="module")
def outcomes(sdk_variables: dict[str, str]) -> dict[str, Outcome]:
    return run_litellm_scenarios(sdk_variables)


@pytest.mark.parametrize("name", NAMES)
def test_scenario(outcomes: dict[str, Outcome], name: str) -> None:
    outcome = outcomes[name]
    assert outcome.error is None, f"after {outcome.seconds:.1f} s: {outcome.error}"


def test_every_scenario_is_reported(outcomes: dict[str, Outcome]) -> None:
    assert len(NAMES) == len(set(NAMES)) > 0
    assert set(outcomes) == set(NAMES)
