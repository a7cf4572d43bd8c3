"""The server guards, reports, measures and stops as it should, over a real connection."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.wrappers_pb2 import StringValue
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
from opentelemetry import trace
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags
from prometheus_client import REGISTRY
from structlog.contextvars import bound_contextvars

from flow2api_common.errors import CapacityError, Conflict, DependencyUnavailable, InternalError
from flow2api_common.grpc_client import rpc_errors, wait_until_ready
from flow2api_common.request_context import current_request_id
from flow2api_testing.waiting import eventually

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


async def health_of(client: Any, service: str = "") -> Any:
    stub = health_pb2_grpc.HealthStub(client.channel)
    return (await stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=5)).status


class TestKinds:
    async def test_all_four_kinds_answer(self, serve: Any) -> None:
        client = await serve()
        assert await client.unary("a") == "a"
        assert [response.value async for response in client.stream_out("3")] == ["0", "1", "2"]
        assert await client.stream_in("a", "b") == "ab"
        assert await client.stream_both("a", "b") == ["a", "b"]

    async def test_on_a_unix_socket(self, serve: Any, tmp_path: Path) -> None:
        client = await serve(address=f"unix:{tmp_path}/s")
        assert await client.unary("a") == "a"

    async def test_a_message_of_the_largest_body_passes(self, serve: Any) -> None:
        client = await serve()
        text = "x" * (64 * 1024 * 1024)
        assert len(await client.unary(text)) == len(text)

    async def test_a_taken_address_is_an_error(self, serve: Any, unused_tcp_port: int) -> None:
        await serve(address=f"127.0.0.1:{unused_tcp_port}")
        with pytest.raises(RuntimeError):
            await serve(address=f"127.0.0.1:{unused_tcp_port}")


class TestServiceToken:
    @pytest.mark.parametrize("token", ["wrong", "a-service-toke", "a-service-token2", "x"])
    async def test_a_wrong_one_is_refused_everywhere(self, serve: Any, token: str) -> None:
        client = await serve(client_token=token)
        for call in (client.unary("a"), client.stream_in("a"), client.stream_both("a"), health_of(client)):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await call
            assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED

    async def test_none_is_refused(self, serve: Any) -> None:
        client = await serve()
        async with grpc.aio.insecure_channel(client.address) as channel:
            stub = health_pb2_grpc.HealthStub(channel)
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await stub.Check(health_pb2.HealthCheckRequest())
            assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED

    async def test_the_servicer_is_not_reached_with_a_wrong_one(self, serve: Any) -> None:
        reached: list[str] = []

        async def unary(request: StringValue, context: Any) -> StringValue:
            reached.append(request.value)
            return request

        client = await serve(client_token="wrong", unary=unary)
        with pytest.raises(InternalError), rpc_errors("echo"):
            await client.unary("a")
        assert reached == []


class TestHealth:
    async def test_follows_readiness_and_recovers(self, serve: Any) -> None:
        is_away = False

        async def readiness() -> None:
            if is_away:
                raise DependencyUnavailable("the database is away")

        client = await serve(readiness=readiness)
        await wait_until_ready(client.channel, timedelta(seconds=10))
        is_away = True
        await eventually(lambda: _is(client, NOT_SERVING))
        is_away = False
        await eventually(lambda: _is(client, SERVING))

    async def test_names_the_service(self, serve: Any) -> None:
        client = await serve()
        await wait_until_ready(client.channel, timedelta(seconds=10))
        assert await health_of(client, "flow2api.test.v1.EchoService") == SERVING
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await health_of(client, "flow2api.test.v1.AnotherService")
        assert caught.value.code() is grpc.StatusCode.NOT_FOUND

    async def test_a_readiness_that_raises_anything_is_not_ready(self, serve: Any) -> None:
        async def readiness() -> None:
            raise ZeroDivisionError

        client = await serve(readiness=readiness)
        await eventually(lambda: client.server._is_ready is False)
        assert await health_of(client) == NOT_SERVING

    async def test_watching_it_tells_changes(self, serve: Any) -> None:
        ready = asyncio.Event()

        async def readiness() -> None:
            if not ready.is_set():
                raise DependencyUnavailable("not yet")

        client = await serve(readiness=readiness)
        watching = health_pb2_grpc.HealthStub(client.channel).Watch(health_pb2.HealthCheckRequest())
        assert (await watching.read()).status == NOT_SERVING
        ready.set()
        assert (await watching.read()).status == SERVING
        watching.cancel()

    async def test_stopping_ends_a_check_that_has_swallowed_a_cancellation(self, serve: Any) -> None:
        checking = asyncio.Event()

        async def readiness() -> None:
            if not checking.is_set():
                checking.set()
                with suppress(asyncio.CancelledError):
                    await asyncio.Event().wait()

        client = await serve(readiness=readiness)
        await checking.wait()
        async with asyncio.timeout(10):
            await client.server.stop(timedelta(0))

    async def test_waiting_for_readiness_ends(self, serve: Any) -> None:
        async def readiness() -> None:
            raise DependencyUnavailable("never")

        client = await serve(readiness=readiness)
        with pytest.raises(DependencyUnavailable):
            await wait_until_ready(client.channel, timedelta(milliseconds=200))

    async def test_waiting_with_a_wrong_token_fails_at_once(self, serve: Any) -> None:
        client = await serve(client_token="wrong")
        with pytest.raises(InternalError):
            await wait_until_ready(client.channel, timedelta(minutes=5))


async def test_reflection_tells_the_services(serve: Any) -> None:
    client = await serve()
    synchronous = grpc.insecure_channel(client.address)
    intercepted = grpc.intercept_channel(synchronous, _BearerInterceptor("a-service-token"))
    names = await asyncio.to_thread(lambda: ProtoReflectionDescriptorDatabase(intercepted).get_services())
    await asyncio.to_thread(synchronous.close)
    assert {"flow2api.test.v1.EchoService", "grpc.health.v1.Health"} <= set(names)


class TestStop:
    async def test_an_rpc_under_way_may_finish(self, serve: Any) -> None:
        started, release = asyncio.Event(), asyncio.Event()

        async def unary(request: StringValue, context: Any) -> StringValue:
            started.set()
            await release.wait()
            return request

        client = await serve(unary=unary)
        calling = asyncio.create_task(client.unary("kept"))
        await started.wait()
        stopping = asyncio.create_task(client.server.stop(timedelta(seconds=30)))
        await eventually(lambda: client.server._health._gracefully_shutting_down)
        release.set()
        assert await calling == "kept"
        await stopping

    async def test_after_the_grace_it_is_cancelled(self, serve: Any) -> None:
        started, cleaned = asyncio.Event(), asyncio.Event()

        async def unary(request: StringValue, context: Any) -> StringValue:
            started.set()
            try:
                await asyncio.Event().wait()
            finally:
                cleaned.set()
            return request

        client = await serve(unary=unary)
        calling = asyncio.create_task(client.unary("lost"))
        await started.wait()
        await client.server.stop(timedelta(milliseconds=50))
        with pytest.raises(DependencyUnavailable), rpc_errors("echo"):
            await calling
        await asyncio.wait_for(cleaned.wait(), 10)

    async def test_stopping_twice_is_fine(self, serve: Any) -> None:
        client = await serve()
        await client.server.stop(timedelta(0))
        await client.server.stop(timedelta(0))


class TestComingBack:
    async def test_a_peer_that_comes_back_is_found_again(self, serve: Any, unused_tcp_port: int) -> None:
        client = await serve(address=f"127.0.0.1:{unused_tcp_port}")
        assert await client.unary("before") == "before"
        await client.server.stop(timedelta(0))
        with pytest.raises(DependencyUnavailable), rpc_errors("echo"):
            await client.unary("lost")
        await serve(address=f"127.0.0.1:{unused_tcp_port}")

        async def is_found() -> bool:
            return await client.unary("after", timeout=1) == "after"

        assert await eventually(is_found)


class TestCancellation:
    async def test_a_client_that_goes_cancels_the_handler(self, serve: Any) -> None:
        started, cancelled = asyncio.Event(), asyncio.Event()

        async def unary(request: StringValue, context: Any) -> StringValue:
            started.set()
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                cancelled.set()
                raise
            return request

        client = await serve(unary=unary)
        calling = asyncio.create_task(client.unary("x"))
        await started.wait()
        calling.cancel()
        with pytest.raises(asyncio.CancelledError):
            await calling
        await asyncio.wait_for(cancelled.wait(), 10)

    async def test_a_client_that_leaves_a_stream_runs_the_cleanup_of_the_servicer(self, serve: Any) -> None:
        cleaned = asyncio.Event()

        async def stream(request: StringValue, context: Any) -> AsyncIterator[StringValue]:
            try:
                while True:
                    yield request
                    await asyncio.sleep(0)
            finally:
                cleaned.set()

        client = await serve(stream_out=stream)
        call = client.stream_out("x")
        assert (await call.read()).value == "x"
        call.cancel()
        await asyncio.wait_for(cleaned.wait(), 10)


class TestRequestContext:
    async def test_the_request_id_goes_along(self, serve: Any) -> None:
        async def unary(request: StringValue, context: Any) -> StringValue:
            return StringValue(value=current_request_id() or "")

        client = await serve(unary=unary)
        with bound_contextvars(request_id="req_abc"):
            assert await client.unary("") == "req_abc"

    async def test_without_one_the_server_makes_one(self, serve: Any) -> None:
        async def unary(request: StringValue, context: Any) -> StringValue:
            return StringValue(value=current_request_id() or "")

        client = await serve(unary=unary)
        first, second = await client.unary(""), await client.unary("")
        assert first.startswith("req_")
        assert first != second

    async def test_an_unsafe_one_is_replaced(self, serve: Any) -> None:
        async def unary(request: StringValue, context: Any) -> StringValue:
            return StringValue(value=current_request_id() or "")

        client = await serve(unary=unary)
        assert (await client.unary("", metadata=(("x-request-id", 'a" {injected}'),))).startswith("req_")

    async def test_the_trace_goes_along_into_streams(self, serve: Any) -> None:
        async def stream(request: StringValue, context: Any) -> AsyncIterator[StringValue]:
            trace_id = trace.get_current_span().get_span_context().trace_id
            yield StringValue(value=trace.format_trace_id(trace_id))

        client = await serve(stream_out=stream)
        span = NonRecordingSpan(SpanContext(0xABCDEF, 0x1234, is_remote=False, trace_flags=TraceFlags(1)))
        with trace.use_span(span):
            values = [response.value async for response in client.stream_out("")]
        assert values == [trace.format_trace_id(0xABCDEF)]


class TestDeadlines:
    async def test_a_call_with_one_answer_has_a_deadline(self, serve: Any) -> None:
        remaining: list[float | None] = []

        async def unary(request: StringValue, context: Any) -> StringValue:
            remaining.append(context.time_remaining())
            return request

        client = await serve(unary=unary)
        await client.unary("")
        await client.unary("", timeout=5)
        assert remaining[0] is not None
        assert 50 < remaining[0] < 61
        assert remaining[1] is not None
        assert remaining[1] < 6

    async def test_a_stream_has_none_unless_given(self, serve: Any) -> None:
        remaining: list[float | None] = []

        async def stream(request: StringValue, context: Any) -> AsyncIterator[StringValue]:
            remaining.append(context.time_remaining())
            yield request

        client = await serve(stream_out=stream)
        assert len([response async for response in client.stream_out("")]) == 1
        assert remaining == [None]


class TestMetrics:
    async def test_each_rpc_is_counted_by_code(self, serve: Any) -> None:
        async def unary(request: StringValue, context: Any) -> StringValue:
            if request.value == "full":
                raise CapacityError("full")
            if request.value == "lost":
                raise Conflict("lost")
            return request

        client = await serve(unary=unary)
        before = {code: _handled(code) for code in ("OK", "RESOURCE_EXHAUSTED", "ALREADY_EXISTS")}
        await client.unary("fine")
        for text in ("full", "full", "lost"):
            with pytest.raises(grpc.aio.AioRpcError):
                await client.unary(text)
        expected = {"OK": 1, "RESOURCE_EXHAUSTED": 2, "ALREADY_EXISTS": 1}
        # The answer is sent before it is counted.
        await eventually(lambda: {code: _handled(code) - count for code, count in before.items()} == expected)

    async def test_a_status_chosen_by_a_servicer_of_grpc_is_counted(self, serve: Any) -> None:
        client = await serve()
        before = _handled("NOT_FOUND", service="grpc.health.v1.Health", method="Check")
        with pytest.raises(grpc.aio.AioRpcError):
            await health_of(client, "no.such.Service")
        await eventually(lambda: _handled("NOT_FOUND", service="grpc.health.v1.Health", method="Check") == before + 1)


def _handled(code: str, service: str = "flow2api.test.v1.EchoService", method: str = "Unary") -> float:
    labels = {"grpc_service": service, "grpc_method": method, "grpc_code": code}
    return REGISTRY.get_sample_value("flow2api_grpc_server_handled_total", labels) or 0.0


async def _is(client: Any, status: Any) -> bool:
    return await health_of(client) == status


class _BearerInterceptor(grpc.StreamStreamClientInterceptor):
    def __init__(self, token: str) -> None:
        self._token = token

    def intercept_stream_stream(self, continuation: Any, client_call_details: Any, request_iterator: Any) -> Any:
        details = grpc.aio.ClientCallDetails(
            client_call_details.method,
            client_call_details.timeout,
            (("authorization", f"Bearer {self._token}"),),
            client_call_details.credentials,
            client_call_details.wait_for_ready,
        )
        return continuation(details, request_iterator)
