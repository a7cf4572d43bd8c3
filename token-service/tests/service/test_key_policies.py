"""What API keys may do, over gRPC: chosen, changed, and asked before a generation begins."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.timestamp_pb2 import Timestamp

from flow2api_common.errors import (
    CapacityError,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    PermissionDenied,
    Unauthenticated,
)
from flow2api_common.grpc_client import rpc_errors
from flow2api_proto.access.v1 import access_service_pb2 as pb


async def create(access: Any, **fields: Any) -> pb.ApiKey:
    with rpc_errors("token"):
        return (await access.CreateApiKey(pb.CreateApiKeyRequest(name="mine", **fields))).api_key


async def update(access: Any, api_key_id: str, *paths: str, **fields: Any) -> pb.ApiKey:
    request = pb.UpdateApiKeyRequest(
        api_key=pb.ApiKey(api_key_id=api_key_id, **fields), update_mask=FieldMask(paths=paths or list(fields))
    )
    with rpc_errors("token"):
        return (await access.UpdateApiKey(request)).api_key


async def authorize(access: Any, api_key_id: str, model_id: str = "m", **fields: Any) -> pb.AuthorizeGenerationResponse:
    request = pb.AuthorizeGenerationRequest(
        **{"api_key_id": api_key_id, "model_id": model_id, "generation_id": "g1"} | fields
    )
    with rpc_errors("token"):
        return await access.AuthorizeGeneration(request)


def in_hours(hours: int) -> Timestamp:
    stamp = Timestamp()
    stamp.FromDatetime((datetime.now(UTC) + timedelta(hours=hours)).replace(microsecond=0))
    return stamp


class TestPolicy:
    async def test_key_without_choices_is_limited_by_nothing(self, access):
        key = await create(access)
        assert (key.max_concurrency, key.weight, key.requests_per_minute, key.daily_credit_budget) == (-1, 1, -1, -1)
        assert not key.allowed_models

    async def test_choices_are_kept(self, access):
        chosen = {
            "max_concurrency": 3,
            "weight": 5,
            "requests_per_minute": 60,
            "daily_credit_budget": 5_000_000_000,
            "daily_budget_micro_usd": 12_500_000,
            "allowed_models": ["veo-*", "gemini-2.5-flash-image"],
            "expire_time": in_hours(1),
        }
        key = await create(access, **chosen)
        read = (await access.GetApiKey(pb.GetApiKeyRequest(api_key_id=key.api_key_id))).api_key
        assert read == key
        assert {name: getattr(key, name) for name in chosen} == chosen

    async def test_update_changes_what_the_mask_names_and_nothing_else(self, access):
        key = await create(access, weight=5, max_concurrency=3, expire_time=in_hours(1))
        changed = await update(access, key.api_key_id, "weight", "expire_time", weight=2, max_concurrency=9)
        assert (changed.weight, changed.max_concurrency) == (2, 3)
        assert not changed.HasField("expire_time")
        assert changed.name == "mine"

    async def test_models_can_be_opened_again(self, access):
        key = await create(access, allowed_models=["veo-*"])
        changed = await update(access, key.api_key_id, "allowed_models")
        assert not changed.allowed_models

    @pytest.mark.parametrize(
        ("paths", "fields", "field"),
        [
            (["weight"], {"weight": 0}, "weight"),
            (["name"], {"name": ""}, "name"),
            (["prefix"], {"prefix": "x"}, "update_mask"),
            (["allowed_models"], {"allowed_models": ["a b"]}, "allowed_models[0]"),
            (["expire_time"], {"expire_time": Timestamp(seconds=1)}, "expire_time"),
            (["expire_time"], {"expire_time": Timestamp(seconds=2**62)}, "expire_time"),
        ],
    )
    async def test_wrong_update_names_its_field_and_changes_nothing(self, access, paths, fields, field):
        key = await create(access)
        with pytest.raises(InvalidArgument) as caught:
            await update(access, key.api_key_id, *paths, **fields)
        assert [violation.field for violation in caught.value.violations] == [field]
        assert (await access.GetApiKey(pb.GetApiKeyRequest(api_key_id=key.api_key_id))).api_key == key

    async def test_update_without_a_mask_is_refused(self, access):
        key = await create(access)
        with pytest.raises(InvalidArgument), rpc_errors("token"):
            await access.UpdateApiKey(pb.UpdateApiKeyRequest(api_key=key))

    async def test_revoked_key_is_not_changed(self, access):
        key = await create(access)
        await access.RevokeApiKey(pb.RevokeApiKeyRequest(api_key_id=key.api_key_id))
        with pytest.raises(FailedPrecondition) as caught:
            await update(access, key.api_key_id, weight=2)
        assert caught.value.reason == "API_KEY_REVOKED"

    async def test_unknown_key_is_not_found(self, access):
        with pytest.raises(NotFound):
            await update(access, "key_nobody", weight=2)

    async def test_change_is_in_the_audit_log(self, access):
        key = await create(access)
        await update(access, key.api_key_id, weight=2, name="other")
        entry = (await access.ListAuditLog(pb.ListAuditLogRequest(page_size=1))).entries[0]
        assert (entry.action, entry.target, entry.outcome) == ("api_key.update", f"api_key/{key.api_key_id}", "ok")
        assert entry.detail == "fields: name, weight"


class TestAuthorize:
    async def test_key_that_may_do_everything(self, access):
        key = await create(access, daily_credit_budget=700)
        answer = await authorize(access, key.api_key_id)
        assert answer.api_key.daily_credit_budget == 700
        assert not answer.HasField("request_quota")

    async def test_model_that_is_not_allowed(self, access):
        key = await create(access, allowed_models=["veo-*"], requests_per_minute=1)
        with pytest.raises(PermissionDenied) as caught:
            await authorize(access, key.api_key_id, "gemini-2.5-flash-image")
        assert caught.value.reason == "MODEL_NOT_ALLOWED"
        assert (await authorize(access, key.api_key_id, "veo-3.1")).request_quota.limit == 1

    async def test_alias_of_an_allowed_model(self, access):
        key = await create(access, allowed_models=["gemini-2.5-flash-image"])
        await authorize(access, key.api_key_id, "nano", served_model_id="gemini-2.5-flash-image")

    async def test_requests_per_minute_hold_over_two_replicas(self, start_replica):
        async with start_replica() as one, start_replica() as two:
            key = await create(one.access, requests_per_minute=3)
            left = [
                (await authorize(replica.access, key.api_key_id, generation_id=f"g{number}")).request_quota.remaining
                for number, replica in enumerate((one, two, one))
            ]
            with pytest.raises(CapacityError) as caught:
                await authorize(two.access, key.api_key_id, generation_id="g3")
            await update(one.access, key.api_key_id, requests_per_minute=5)
            after = await authorize(two.access, key.api_key_id, generation_id="g3")

        assert left == [2, 1, 0]
        assert caught.value.reason == "REQUESTS_PER_MINUTE"
        assert caught.value.retry_after is not None
        assert caught.value.metadata["limit_requests"] == "3"
        assert after.request_quota.remaining == 1

    async def test_key_that_has_ended(self, access, clock):
        key = await create(access, expire_time=in_hours(1))
        await authorize(access, key.api_key_id)
        clock.turned = timedelta(hours=2)
        with pytest.raises(Unauthenticated) as caught:
            await authorize(access, key.api_key_id)
        assert caught.value.reason == "API_KEY_INVALID"

    async def test_revoked_key(self, access):
        key = await create(access)
        await access.RevokeApiKey(pb.RevokeApiKeyRequest(api_key_id=key.api_key_id))
        with pytest.raises(Unauthenticated):
            await authorize(access, key.api_key_id)

    @pytest.mark.parametrize("field", ["api_key_id", "model_id", "generation_id"])
    async def test_every_id_is_required(self, access, field):
        with pytest.raises(InvalidArgument) as caught:
            await authorize(access, **{"api_key_id": "key_1", "model_id": "m", "generation_id": "g"} | {field: ""})
        assert [violation.field for violation in caught.value.violations] == [field]
