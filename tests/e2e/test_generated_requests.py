"""Requests made up from the OpenAPI document: whatever comes, the answer is one that the document knows, and no 5xx."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from flow2api_testing.systems import API_KEY, System, all_in_one_system

pytestmark = pytest.mark.timeout(300)

EXAMPLES = 8
"""Per operation: enough for every field to be wrong once, within a minute for all of them."""

CHECKS = (
    schemathesis.checks.not_a_server_error,
    schemathesis.checks.status_code_conformance,
    schemathesis.checks.content_type_conformance,
)


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """A system whose upstream answers at once."""
    with all_in_one_system(tmp_path_factory.mktemp("generated"), time_scale="0") as running:
        yield running


def model_for(path: str) -> str:
    return "veo-3.1-fast" if "videos" in path else "gemini-3.1-flash-image"


def test_no_request_that_can_be_made_up_ends_in_a_surprise(system: System) -> None:
    headers = {"authorization": f"Bearer {API_KEY}"}
    with (
        httpx.Client(base_url=system.base_url, headers=headers, timeout=60, trust_env=False) as client,
        requests.Session() as session,
    ):
        session.trust_env = False
        document = client.get("/openapi.json").json()
        video = client.post("/v1/videos", json={"model": "veo-3.1-fast", "prompt": "waves"}).json()["id"]
        document["paths"] = {
            path: methods for path, methods in document["paths"].items() if path.startswith(("/v1/", "/media/"))
        }
        seen: Counter[int] = Counter()
        for found in schemathesis.openapi.from_dict(document).get_all_operations():
            operation = found.ok()

            @settings(
                max_examples=EXAMPLES,
                deadline=None,
                database=None,
                derandomize=True,
                phases=[Phase.generate],
                suppress_health_check=list(HealthCheck),
            )
            @given(case=operation.as_strategy(), is_meant=st.booleans())
            def ask(case: Any, is_meant: bool) -> None:
                if is_meant and isinstance(case.body, dict) and "model" in case.body:
                    case.body["model"] = model_for(case.path)
                if is_meant and "video_id" in case.path_parameters and case.method != "DELETE":
                    case.path_parameters["video_id"] = video
                response = case.call(base_url=system.base_url, session=session, headers=headers, timeout=60)
                seen[response.status_code] += 1
                case.validate_response(response, checks=list(CHECKS))

            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                ask()
    assert seen[200] > 5
    assert seen[400] > 20
