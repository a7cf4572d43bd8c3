"""When clients want a video to be given up."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from flow2api_common.errors import InvalidArgument
from flow2api_gateway.openai.videos.deadlines import deadline_of


def in_an_hour() -> datetime:
    return datetime.now(UTC) + timedelta(hours=1)


@pytest.mark.parametrize(
    "fields",
    [
        lambda: {"deadline": int(in_an_hour().timestamp())},
        lambda: {"deadline": str(in_an_hour().timestamp())},
        lambda: {"deadline": in_an_hour().isoformat()},
        lambda: {"deadline": in_an_hour().strftime("%Y-%m-%dT%H:%M:%SZ")},
        lambda: {"expires_after": 3600},
        lambda: {"expires_after": "3600"},
        lambda: {"expires_after": {"anchor": "created_at", "seconds": 3600}},
        lambda: {"expires_after": {"seconds": "3600"}},
    ],
)
def test_every_form_means_the_same_time(fields: Any) -> None:
    timestamp = deadline_of(**{"deadline": None, "expires_after": None} | fields())
    assert timestamp is not None
    assert abs(timestamp.ToDatetime(UTC) - in_an_hour()) < timedelta(seconds=5)


@pytest.mark.parametrize(
    ("param", "fields"),
    [
        ("deadline", {"deadline": 1}),
        ("deadline", {"deadline": "soon"}),
        ("deadline", {"deadline": "2099-01-01T00:00:00"}),
        ("deadline", {"deadline": "2099-01-01T00:00:00Z"}),
        ("deadline", {"deadline": 1e300}),
        ("deadline", {"deadline": "nan"}),
        ("expires_after", {"expires_after": 0}),
        ("expires_after", {"expires_after": -5}),
        ("expires_after", {"expires_after": "later"}),
        ("expires_after", {"expires_after": 7 * 86400 + 1}),
        ("expires_after.anchor", {"expires_after": {"anchor": "noon", "seconds": 5}}),
        ("expires_after.seconds", {"expires_after": {"anchor": "created_at"}}),
        ("expires_after.seconds", {"expires_after": {"seconds": True}}),
        ("expires_after", {"expires_after": 60, "deadline": 4_000_000_000}),
    ],
)
def test_anything_else_is_refused_by_name(param: str, fields: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgument) as caught:
        deadline_of(**{"deadline": None, "expires_after": None} | fields)
    assert caught.value.violations[0].field == param


async def test_it_reaches_the_job(client: httpx.AsyncClient, world: Any) -> None:
    body = {"model": "veo-3.1-fast", "prompt": "waves", "expires_after": {"anchor": "created_at", "seconds": 3600}}
    assert (await client.post("/v1/videos", json=body)).status_code == 200
    (request,) = world.generation.video_requests
    assert abs(request.deadline_time.ToDatetime(UTC) - in_an_hour()) < timedelta(seconds=30)
    refused = await client.post("/v1/videos", json=body | {"expires_after": 0})
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "expires_after")
    form = {"model": "veo-3.1-fast", "prompt": "waves", "expires_after[seconds]": "3600"}
    assert (await client.post("/v1/videos", data=form)).status_code == 200
    assert world.generation.video_requests[1].HasField("deadline_time")
