"""Every class of the error tree, raised by a real server, is the same error at the client."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import grpc
import pytest
from google.protobuf.wrappers_pb2 import StringValue
from structlog.testing import capture_logs

from flow2api_common.errors import (
    CapacityError,
    Conflict,
    DependencyUnavailable,
    FieldViolation,
    Flow2APIError,
    InternalError,
    InvalidArgument,
    UpstreamError,
    UpstreamRejected,
    UpstreamTimeout,
)
from flow2api_common.grpc_client import rpc_errors
from flow2api_common.grpc_errors import ERROR_CLASSES

METADATA = {"token_id": "token_1"}
RETRY_AFTER = timedelta(seconds=7, milliseconds=250)


def raising(error: BaseException) -> Any:
    async def unary(request: StringValue, context: Any) -> StringValue:
        raise error

    return unary


async def failure_of(serve: Any, error: BaseException) -> Flow2APIError:
    client = await serve(unary=raising(error))
    with pytest.raises(Flow2APIError) as caught, rpc_errors("echo"):
        await client.unary("x")
    return caught.value


@pytest.mark.parametrize("error_class", ERROR_CLASSES.values(), ids=ERROR_CLASSES.keys())
async def test_class_reason_and_delay_survive(serve: Any, error_class: type[Flow2APIError]) -> None:
    error = error_class("no luck", reason="SOME_REASON", metadata=METADATA, retry_after=RETRY_AFTER)
    seen = await failure_of(serve, error)
    assert type(seen) is error_class
    assert seen.reason == "SOME_REASON"
    assert seen.retry_after == RETRY_AFTER
    if error_class.code is grpc.StatusCode.INTERNAL:
        assert "no luck" not in seen.message
        assert seen.metadata == {}
    else:
        assert seen.message == "no luck"
        assert seen.metadata == METADATA


@pytest.mark.parametrize("error_class", [cls for cls in ERROR_CLASSES.values() if issubclass(cls, UpstreamError)])
async def test_paid_survives(serve: Any, error_class: type[UpstreamError]) -> None:
    seen = await failure_of(serve, error_class("too late", paid=True))
    assert isinstance(seen, UpstreamError)
    assert seen.paid
    assert seen.metadata["paid"] == "true"


async def test_an_unpaid_failure_stays_unpaid(serve: Any) -> None:
    seen = await failure_of(serve, UpstreamTimeout("too late"))
    assert isinstance(seen, UpstreamTimeout)
    assert not seen.paid


async def test_violations_survive(serve: Any) -> None:
    violations = (FieldViolation("size", "is too large"), FieldViolation("n", "must be 1"))
    seen = await failure_of(serve, InvalidArgument("two fields are wrong", violations=violations))
    assert seen.violations == violations


async def test_an_error_without_delay_has_none(serve: Any) -> None:
    assert (await failure_of(serve, CapacityError("full"))).retry_after is None


async def test_a_services_own_class_arrives_as_its_base(serve: Any) -> None:
    class LeaseLost(Conflict):
        default_reason = "LEASE_LOST"

    seen = await failure_of(serve, LeaseLost("somebody else has it"))
    assert type(seen) is Conflict
    assert seen.reason == "LEASE_LOST"


async def test_an_unknown_exception_is_masked_and_logged_with_the_request_id(serve: Any) -> None:
    with capture_logs() as entries:
        seen = await failure_of(serve, ValueError("SELECT secret FROM table"))
    assert type(seen) is InternalError
    assert "SELECT" not in seen.message
    entry = next(entry for entry in entries if entry["event"] == "rpc_failed")
    assert isinstance(entry["exc_info"], ValueError)
    assert entry["log_level"] == "error"


async def test_the_masked_message_names_the_request_id_of_the_caller(serve: Any) -> None:
    client = await serve(unary=raising(KeyError("x")))
    with pytest.raises(InternalError, match="req-of-the-caller"), rpc_errors("echo"):
        await client.unary("x", metadata=(("x-request-id", "req-of-the-caller"),))


async def test_a_secret_in_a_message_does_not_leave(serve: Any) -> None:
    seen = await failure_of(serve, UpstreamRejected("refused ya29.secret-token", metadata={"url": "x?key=AIzaSecret1"}))
    assert "secret" not in f"{seen.message}{seen.metadata}".lower()


async def test_a_lone_error_in_a_task_group_counts_as_itself(serve: Any) -> None:
    group = ExceptionGroup("unhandled errors in a TaskGroup", [CapacityError("full")])
    assert type(await failure_of(serve, group)) is CapacityError


async def test_a_stream_that_fails_midway_gives_its_items_then_the_error(serve: Any) -> None:
    async def stream(request: StringValue, context: Any) -> AsyncIterator[StringValue]:
        yield StringValue(value="first")
        raise UpstreamTimeout("too late", paid=True)

    client = await serve(stream_out=stream)
    received: list[str] = []

    async def receive() -> None:
        with rpc_errors("echo"):
            async for response in client.stream_out(""):
                received.append(response.value)  # noqa: PERF401 - a comprehension would lose them with the error

    with pytest.raises(UpstreamTimeout) as caught:
        await receive()
    assert received == ["first"]
    assert caught.value.paid


async def test_an_error_from_a_request_stream_is_translated(serve: Any) -> None:
    async def join(requests: Any, context: Any) -> StringValue:
        async for _ in requests:
            raise InvalidArgument.of("image", "is no picture")
        raise AssertionError

    client = await serve(stream_in=join)
    with pytest.raises(InvalidArgument) as caught, rpc_errors("echo"):
        await client.stream_in("a", "b")
    assert caught.value.violations == (FieldViolation("image", "is no picture"),)


async def test_an_error_from_a_two_way_stream_is_translated(serve: Any) -> None:
    async def repeat(requests: Any, context: Any) -> AsyncIterator[StringValue]:
        async for request in requests:
            yield request
            raise Conflict("once is enough")

    client = await serve(stream_both=repeat)
    with pytest.raises(Conflict), rpc_errors("echo"):
        await client.stream_both("a", "b")


async def test_a_peer_that_is_away_is_a_dependency_unavailable(serve: Any) -> None:
    client = await serve()
    await client.server.stop(timedelta(0))
    with pytest.raises(DependencyUnavailable) as caught, rpc_errors("echo"):
        await client.unary("x", timeout=5)
    assert caught.value.metadata["dependency"] == "echo"
    assert caught.value.retry_after is not None


async def test_a_peer_that_is_too_late_is_a_dependency_unavailable(serve: Any) -> None:
    async def never(request: StringValue, context: Any) -> StringValue:
        await asyncio.Event().wait()
        return request

    client = await serve(unary=never)
    with pytest.raises(DependencyUnavailable) as caught, rpc_errors("echo"):
        await client.unary("x", timeout=0.05)
    assert caught.value.metadata["grpc_code"] == "DEADLINE_EXCEEDED"


async def test_a_wrong_service_token_is_our_own_fault_not_the_callers(serve: Any) -> None:
    client = await serve(client_token="another")
    with pytest.raises(InternalError) as caught, rpc_errors("echo"):
        await client.unary("x")
    assert caught.value.reason == "SERVICE_TOKEN_INVALID"
