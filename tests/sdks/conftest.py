"""The system in each mode, started once for all clients: the folder is one unit of work, see the plugin."""

from __future__ import annotations

from collections.abc import Iterator

import openai
import pytest

from flow2api_testing.postgres import TestPostgres
from flow2api_testing.programs import free_port
from flow2api_testing.systems import API_KEY, System, all_in_one_system, distributed_system

MODES = ("all_in_one", "distributed")


@pytest.fixture(scope="package", params=MODES)
def system(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """The whole system with an upstream that answers at once; it may tell one port of loopback how videos ended."""
    directory = tmp_path_factory.mktemp(request.param)
    variables = {"FLOW2API_ALLOW_PRIVATE_HOSTS": f"127.0.0.1:{free_port()}"}
    if request.param == "all_in_one":
        with all_in_one_system(directory, extra_variables=variables, time_scale="0") as running:
            yield running
    else:
        postgres: TestPostgres = request.getfixturevalue("postgres_server")
        with distributed_system(
            directory, postgres, settings=variables, generation_replicas=2, time_scale="0"
        ) as running:
            yield running


@pytest.fixture(scope="package")
def receiver_port(system: System) -> int:
    """A free port that the gateway's webhooks may reach."""
    return int(system.variables["FLOW2API_ALLOW_PRIVATE_HOSTS"].rpartition(":")[2])


@pytest.fixture
def client(system: System) -> Iterator[openai.OpenAI]:
    """OpenAI's own client, which does not repeat what fails."""
    with openai.OpenAI(base_url=f"{system.base_url}/v1", api_key=API_KEY, max_retries=0) as opened:
        yield opened


@pytest.fixture(scope="module")
def sdk_variables(system: System, receiver_port: int) -> dict[str, str]:
    """What the programs over SDKs outside of our environment are told."""
    with system.admin() as admin:
        # Of its own, as each program uses up the minute.
        answer = admin.post("/admin/keys", json={"name": "limited", "requests_per_minute": 1})
        limited_key = str(answer.raise_for_status().json()["key"])
    return {
        "OPENAI_BASE_URL": f"{system.base_url}/v1",
        "OPENAI_API_KEY": API_KEY,
        "LIMITED_KEY": limited_key,
        "RECEIVER_PORT": str(receiver_port),
    }
