"""The OpenAPI document says what is served: its examples work, its statuses are those of the table."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from flow2api_gateway.errors.openai_table import RULES_BY_REASON

STATUSES = {str(rule.status) for rule in RULES_BY_REASON.values()}


async def document(client: httpx.AsyncClient) -> dict[str, Any]:
    answer: dict[str, Any] = (await client.get("/openapi.json")).json()
    return answer


async def test_every_operation_of_openais_paths_tells_its_errors(client: httpx.AsyncClient) -> None:
    operations = 0
    for path, methods in (await document(client))["paths"].items():
        for operation in methods.values():
            assert "422" not in operation["responses"]
            if path.startswith("/v1/"):
                operations += 1
                assert set(operation["responses"]) >= STATUSES
                assert operation["security"] == [{"apiKey": []}]
    assert operations > 15


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/images/generations", "/v1/images/edits", "/v1/videos"])
async def test_an_example_works_and_its_answer_has_the_members_that_are_promised(
    client: httpx.AsyncClient, path: str
) -> None:
    operation = (await document(client))["paths"][path]["post"]
    response = await client.post(path, json=operation["requestBody"]["content"]["application/json"]["example"])
    assert response.status_code == 200, response.text
    promised = operation["responses"]["200"]["content"]["application/json"]
    assert set(promised["schema"]["required"]) <= set(response.json())
    assert set(promised["example"]) <= set(response.json())


async def test_every_example_of_an_answer_is_like_an_answer(client: httpx.AsyncClient, world: Any) -> None:
    paths = (await document(client))["paths"]
    created = (await client.post("/v1/videos", json={"model": "veo-3.1-fast", "prompt": "x"})).json()["id"]
    await world.generation.complete_video(created)
    asked = [
        ("get", "/v1/models", "/v1/models"),
        ("get", "/v1/models/{model_id}", "/v1/models/veo-3.1-fast"),
        ("get", "/v1/videos", "/v1/videos"),
        ("get", "/v1/videos/{video_id}", f"/v1/videos/{created}"),
        ("post", "/v1/videos/{video_id}/remix", f"/v1/videos/{created}/remix"),
        ("delete", "/v1/videos/{video_id}", f"/v1/videos/{created}"),
    ]
    for method, template, path in asked:
        body = {"prompt": "at night"} if method == "post" else None
        response = await client.request(method, path, json=body)
        example = paths[template][method]["responses"]["200"]["content"]["application/json"]["example"]
        assert response.status_code == 200
        assert set(example) <= set(response.json()), template
