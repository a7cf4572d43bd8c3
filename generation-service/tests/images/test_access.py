"""Pictures in the name of API keys that may not do everything."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from flow2api_common.errors import CapacityError, Flow2APIError, PermissionDenied
from flow2api_common.grpc_client import rpc_errors
from flow2api_proto.access.v1 import request_quota_pb2
from flow2api_testing.waiting import eventually

ST = "sandbox-st-1"


async def refused(client: Any, **fields: Any) -> Flow2APIError:
    with pytest.raises(Flow2APIError) as caught, rpc_errors("generation"):
        await client.images(**fields)
    return caught.value


async def test_each_generation_is_authorized_once(client: Any, pool: Any, access: Any) -> None:
    await pool.add_flow(ST)
    events = await client.images(model_id="gemini-2.5-flash-image-landscape", image_count=3)
    (asked,) = access.asked
    assert asked.api_key_id == "key_1"
    assert asked.model_id == "gemini-2.5-flash-image-landscape"
    assert asked.served_model_id
    assert asked.generation_id == events[0].generation_id


async def test_repeat_costs_nothing(client: Any, pool: Any, access: Any) -> None:
    await pool.add_flow(ST)
    access.quota = request_quota_pb2.RequestQuota(limit=5, remaining=4)
    first = await client.images(request_id="order-1")
    again = await client.images(request_id="order-1")
    assert len(access.asked) == 1
    assert [event.request_quota.remaining for event in first][:2] == [4, 0]
    assert not any(event.HasField("request_quota") for event in again)


async def test_refusal_reaches_the_caller_and_nothing_is_leased(client: Any, pool: Any, access: Any) -> None:
    await pool.add_flow(ST)
    access.refusal = CapacityError(
        "full", reason="REQUESTS_PER_MINUTE", retry_after=timedelta(seconds=7), metadata={"limit_requests": "3"}
    )
    error = await refused(client)
    assert (error.reason, error.retry_after) == ("REQUESTS_PER_MINUTE", timedelta(seconds=7))
    assert error.metadata["limit_requests"] == "3"
    assert not pool.acquired


async def test_refused_request_can_be_repeated_with_its_idempotency_key(client: Any, pool: Any, access: Any) -> None:
    await pool.add_flow(ST)
    access.refusal = PermissionDenied("no", reason="MODEL_NOT_ALLOWED")
    assert (await refused(client, request_id="order-1")).reason == "MODEL_NOT_ALLOWED"
    access.refusal = None
    events = await client.images(request_id="order-1")
    assert events[-1].HasField("image")


async def test_client_that_leaves_meanwhile_can_come_back(client: Any, pool: Any, access: Any) -> None:
    await pool.add_flow(ST)
    access.gate = asyncio.Event()
    call = client.start(request_id="order-1")
    await eventually(lambda: len(access.asked) == 1)
    call.cancel()
    access.gate.set()
    events = await client.images(request_id="order-1")
    assert events[-1].HasField("image")


@pytest.mark.parametrize("wrong", [{"prompt": ""}, {"model_id": "nothing"}, {"image_count": 99}])
async def test_wrong_request_is_not_counted(client: Any, access: Any, wrong: dict[str, Any]) -> None:
    await refused(client, **wrong)
    assert not access.asked
