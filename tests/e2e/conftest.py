"""The system in each mode, started once per module."""

from __future__ import annotations

from collections.abc import Iterator

import openai
import pytest

from flow2api_testing.postgres import TestPostgres
from flow2api_testing.systems import API_KEY, System, all_in_one_system, distributed_system

MODES = ("all_in_one", "distributed")


@pytest.fixture(scope="module", params=MODES)
def system(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """The whole system with an upstream that answers at once."""
    directory = tmp_path_factory.mktemp(request.param)
    if request.param == "all_in_one":
        with all_in_one_system(directory, time_scale="0") as running:
            yield running
    else:
        postgres: TestPostgres = request.getfixturevalue("postgres_server")
        with distributed_system(directory, postgres, time_scale="0") as running:
            yield running


@pytest.fixture
def client(system: System) -> Iterator[openai.OpenAI]:
    """OpenAI's own client, which does not repeat what fails."""
    with openai.OpenAI(base_url=f"{system.base_url}/v1", api_key=API_KEY, max_retries=0) as opened:
        yield opened
