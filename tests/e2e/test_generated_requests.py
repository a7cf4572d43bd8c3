"""Requests made up from the OpenAPI document: whatever comes, the answer is one that the document knows, and no 5xx.

Half of them name things that are there, so that they get past the lookups. `make fuzz` sends many more.
"""

from __future__ import annotations

import os
import warnings
from collections import Counter
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from flow2api_testing.proxies import proxy_thread
from flow2api_testing.systems import API_KEY, System, all_in_one_system
from flow2api_testing.things import RECEIVER, Things, made_things

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "0"))
"""Per operation; 0 for few, which is enough for every field to be wrong once."""

SEED = int(os.environ.get("FUZZ_SEED", "0"))

pytestmark = pytest.mark.timeout(300 if not EXAMPLES else 0)

ENDS_THE_SESSION = frozenset({("POST", "/admin/logout"), ("DELETE", "/admin/sessions")})

CHECKS = (
    schemathesis.checks.not_a_server_error,
    schemathesis.checks.status_code_conformance,
    schemathesis.checks.content_type_conformance,
)


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """A system whose upstream answers at once."""
    allowed = {"FLOW2API_ALLOW_PRIVATE_HOSTS": RECEIVER}
    directory = tmp_path_factory.mktemp("generated")
    with all_in_one_system(directory, extra_variables=allowed, time_scale="0") as running:
        yield running


@pytest.fixture(scope="module")
def admin(system: System) -> Iterator[httpx.Client]:
    """One session for all: made-up logins use up those that an address may try."""
    with system.admin() as client:
        yield client


@pytest.fixture(scope="module")
def things(system: System, admin: httpx.Client) -> Iterator[Things]:
    with proxy_thread() as proxies:
        yield made_things(system, admin, proxy_url=proxies.start().url)


@pytest.mark.parametrize(
    ("prefixes", "examples"),
    [(("/v1/", "/media/"), 7), (("/v1beta", "/upload/"), 4), (("/admin/", "/healthz", "/readyz", "/metrics"), 3)],
    ids=["openai", "google", "admin"],
)
def test_no_request_that_can_be_made_up_ends_in_a_surprise(
    system: System, admin: httpx.Client, things: Things, prefixes: tuple[str, ...], examples: int
) -> None:
    document = admin.get("/openapi.json").json()
    document["paths"] = {path: methods for path, methods in document["paths"].items() if path.startswith(prefixes)}
    operations = [found.ok() for found in schemathesis.openapi.from_dict(document).get_all_operations()]
    # What is deleted is not there for the others.
    operations.sort(key=lambda operation: operation.method.upper() == "DELETE")
    seen: Counter[int] = Counter()
    with requests.Session() as session:
        session.trust_env = False
        session.headers["authorization"] = (
            admin.headers["authorization"] if "/admin/" in prefixes else f"Bearer {API_KEY}"
        )
        for operation in operations:
            if (operation.method.upper(), operation.path) not in ENDS_THE_SESSION:
                seen += answers_to_made_up_requests(operation, session, system, things, EXAMPLES or examples)
    assert seen[200] > len(operations) // 2, seen
    assert seen[400] > len(operations) // 4, seen


def answers_to_made_up_requests(
    operation: Any,
    session: requests.Session,
    system: System,
    things: Things,
    examples: int,
) -> Counter[int]:
    """How many answers had which status. Raises for one that the document does not know, and for 5xx."""
    seen: Counter[int] = Counter()

    @seed(SEED)
    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(), is_meant=st.booleans())
    def ask(case: Any, is_meant: bool) -> None:
        if is_meant:
            things.put_into(case)
        response = case.call(base_url=system.base_url, session=session, timeout=60)
        seen[response.status_code] += 1
        case.validate_response(response, checks=list(CHECKS))

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ask()
    return seen
