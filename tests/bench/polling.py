"""The poller beside a naive one: status calls per job, how late a finished clip is noticed, CPU and memory per job.

The jobs take 20 s each, come evenly over 20 s and live on 100 tokens. The real poller, token service, NATS and Redis
run as processes; this one plays the generation service: it tells the poller about each job when the upstream accepts
it, with what the generation service's own code has learned by then, and takes the news that a clip is ready as a client
of the generation service would get it. Fetching the clip is not measured on either side. Each poller has a sandbox of
its own, which knows when each clip was ready, and each size a fresh process.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import sys
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import mean, quantiles
from typing import Any, Final

import httpx
from nats.aio.msg import Msg
from nats.js.errors import NotFoundError
from pydantic import SecretStr

from flow2api_cli.private_servers import private_nats, private_redis
from flow2api_common.clock import utc_now
from flow2api_common.database import Database
from flow2api_common.grpc_client import open_channel
from flow2api_common.ids import new_id
from flow2api_common.logs import configure_logging
from flow2api_common.nats_client import NatsConnection, nats_connection
from flow2api_common.nats_streams import VIDEO_JOBS
from flow2api_common.settings import BaseServiceSettings, DatabaseSettings, NatsSettings, load_settings
from flow2api_generation_service.durations.learning import Durations, Observation
from flow2api_generation_service.durations.series import Series
from flow2api_generation_service.migrate import migrate
from flow2api_generation_service.models_base import SCHEMA
from flow2api_proto.events.v1 import video_events_pb2
from flow2api_proto.tokens.v1 import token_pb2, token_service_pb2, token_service_pb2_grpc
from flow2api_upstream.flow.handles import FlowOperation
from process_costs import ProcessCosts, costs_of
from system import first_line, free_port, running_process

SIZES: Final = (100, 1_000, 10_000)
_TOKENS: Final = 100
_DURATION: Final = 20.0
_ARRIVALS: Final = 20.0
_HEAD_START: Final = 3.0
_USUAL: Final = 30
"""What the catalog would say; the pollers are told nothing better."""
_PATIENCE: Final = 240.0
_ROUND: Final = 200
_SERIES: Final = Series(
    provider="flow", upstream_model="veo_3_1_t2v_fast", kind="text", duration_seconds=8, resolution="720p"
)
_DURABLE: Final = "video-poll"


@dataclass(frozen=True, slots=True)
class PollingRow:
    """What one poller showed with so many jobs. Durations in seconds."""

    name: str
    job_count: int
    calls_per_job: float
    mean_delay: float
    p50: float
    p95: float
    cpu_per_job: float
    bytes_per_job: float


@dataclass(frozen=True, slots=True)
class Sandbox:
    """A stand-in upstream with `_TOKENS` accounts."""

    settings: Mapping[str, str]
    control: httpx.AsyncClient

    async def accept(self, count: int, spread: float) -> list[dict[str, Any]]:
        """Clips spread over the accounts, in the order in which they are accepted."""
        clips: list[dict[str, Any]] = []
        for number in range(_TOKENS):
            batch = {
                "account": f"sandbox-st-{number + 1}",
                "count": count // _TOKENS,
                "duration": _DURATION,
                "spread": spread,
                # The accounts take turns, so that the whole comes evenly.
                "delay": _HEAD_START + _ARRIVALS * number / count,
                "within": _ARRIVALS,
                "seed": number,
            }
            answer = await self.control.post("/_sandbox/clips", json=batch)
            clips += answer.raise_for_status().json()["clips"]
        return sorted(clips, key=lambda clip: clip["accepted_at"])

    async def status_calls(self) -> int:
        """How many there have been."""
        report = (await self.control.get("/_sandbox/report")).raise_for_status().json()
        return int(report["calls"].get("flow.status", 0))


@dataclass(slots=True)
class Surroundings:
    """Everything around the poller that is measured."""

    sandbox: Sandbox
    nats: NatsConnection
    durations: Durations
    settings: Mapping[str, str]
    token_ids: list[int] = field(default_factory=list)


async def measure_polling(folder: Path, *, sizes: Sequence[int], spread: float, pollers: int) -> list[PollingRow]:
    """The rows in order; the first of ours is of jobs about which nothing was learned yet."""
    configure_logging(load_settings(BaseServiceSettings, log_level="warning"), "bench")
    async with AsyncExitStack() as stack:
        around = await stack.enter_async_context(_surroundings(folder))
        other = await stack.enter_async_context(_sandbox())
        # Neither is busy with so few, so they may run side by side.
        async with asyncio.TaskGroup() as group:
            first = group.create_task(_ours(around, sizes[0], spread, pollers, "Flow2API, nothing learned yet"))
            naive = group.create_task(_naive(other, sizes[0], spread))
        rows = [naive.result(), first.result()]
        # Jobs that are under way while nothing is known learn nothing of each other: a second round makes it sharp.
        await _ours(around, _ROUND, spread, pollers, "Flow2API, learning")
        for size in sizes:
            if size != sizes[0]:
                rows.append(await _naive(other, size, spread))
            rows.append(await _ours(around, size, spread, pollers, "Flow2API"))
        return rows


def polling_lines(rows: Sequence[PollingRow]) -> list[str]:
    """The table."""
    naive = {row.job_count: row for row in rows if row.name == _NAIVE}
    return [
        "| jobs | poller | calls per job | ÷ naive | mean delay s | p50 s | p95 s | CPU ms per job | KiB per job |",
        "| ---: | --- |" + " ---: |" * 7,
        *(
            f"| {row.job_count:,} | {row.name} | {row.calls_per_job:.2f} "
            f"| {row.calls_per_job / naive[row.job_count].calls_per_job:.2f} | {row.mean_delay:.2f} | {row.p50:.2f} "
            f"| {row.p95:.2f} | {row.cpu_per_job * 1000:.1f} | {row.bytes_per_job / 1024:.1f} |"
            for row in rows
        ),
    ]


_NAIVE: Final = "naive, each job every 3 s"


async def _naive(sandbox: Sandbox, count: int, spread: float) -> PollingRow:
    calls_before = await sandbox.status_calls()
    program = str(Path(__file__).with_name("naive.py"))
    async with running_process(sys.executable, program, env=sandbox.settings, longest_line=2**26) as process:
        clips = await sandbox.accept(count, spread)
        assert process.stdin is not None
        process.stdin.write(json.dumps(clips).encode() + b"\n")
        await process.stdin.drain()
        await first_line(process)
        async with costs_of(process.pid) as costs:
            seen = json.loads(await first_line(process, timeout_seconds=_PATIENCE))
        return _row(_NAIVE, clips, seen, await sandbox.status_calls() - calls_before, [costs])


async def _ours(around: Surroundings, count: int, spread: float, pollers: int, name: str) -> PollingRow:
    calls_before = await around.sandbox.status_calls()
    async with AsyncExitStack() as stack:
        processes = [
            await stack.enter_async_context(running_process(_flow2api(), "serve", "poller", env=around.settings))
            for _ in range(pollers)
        ]
        await _until_listening(around.nats)
        clips = await around.sandbox.accept(count, spread)
        seen: dict[str, float] = {}
        all_seen = asyncio.Event()

        async def on_event(message: Msg) -> None:
            event = video_events_pb2.VideoEvent.FromString(message.data)
            if event.WhichOneof("event") != "stage_done" or event.video_id in seen:
                return
            seen[event.video_id] = time.time()
            if event.HasField("observed_duration"):
                observed = event.observed_duration
                around.durations.observe(
                    _SERIES, Observation(observed.not_ready_ms / 1000, observed.ready_ms / 1000, _USUAL)
                )
            if len(seen) == count:
                all_seen.set()

        subscription = await around.nats.client.subscribe("video.events.*", cb=on_event)
        async with AsyncExitStack() as watching:
            costs = [await watching.enter_async_context(costs_of(process.pid)) for process in processes]
            async with asyncio.timeout(_PATIENCE), asyncio.TaskGroup() as group:
                for clip in clips:
                    group.create_task(_submit(around, clip))
                await all_seen.wait()
        await subscription.unsubscribe()
        calls = await around.sandbox.status_calls() - calls_before
        return _row(name if pollers == 1 else f"{name}, {_shares(costs)}", clips, seen, calls, costs)


def _row(
    name: str,
    clips: Sequence[Mapping[str, Any]],
    seen: Mapping[str, float],
    calls: int,
    costs: Sequence[ProcessCosts],
) -> PollingRow:
    delays = [seen[clip["name"]] - clip["ready_at"] for clip in clips]
    cuts = quantiles(delays, n=20, method="inclusive")
    return PollingRow(
        name=name,
        job_count=len(clips),
        calls_per_job=calls / len(clips),
        mean_delay=mean(delays),
        p50=cuts[9],
        p95=cuts[18],
        cpu_per_job=sum(each.cpu_seconds for each in costs) / len(clips),
        bytes_per_job=sum(each.extra_bytes for each in costs) / len(clips),
    )


def _shares(costs: Sequence[ProcessCosts]) -> str:
    """How replicas shared the work, as their CPU time tells it."""
    total = sum(each.cpu_seconds for each in costs) or 1.0
    parts = " + ".join(f"{each.cpu_seconds / total:.0%}" for each in costs)
    return f"{len(costs)} replicas ({parts} of the CPU time)"


async def _submit(around: Surroundings, clip: Mapping[str, Any]) -> None:
    """What the generation service does once the upstream has accepted a clip."""
    await asyncio.sleep(max(clip["accepted_at"] - time.time(), 0))
    submit_time = datetime.fromtimestamp(clip["accepted_at"], UTC)
    token_id = around.token_ids[int(str(clip["account"]).rpartition("-")[2]) - 1]
    lease = token_pb2.Lease(lease_id=new_id("lease"), token_id=token_id, kind=token_pb2.KIND_VIDEO)
    lease.expire_time.FromDatetime(submit_time + timedelta(minutes=10))
    handle = FlowOperation(name=clip["name"], project=clip["project_id"], workflow=clip["workflow_id"]).handle()
    message = video_events_pb2.PollVideo(
        video_id=clip["name"],
        stage=video_events_pb2.VIDEO_STAGE_GENERATE,
        provider="flow",
        lease=lease,
        operation_handle=handle,
        model_id="veo_3_1_t2v_fast_landscape",
        typical_duration_ms=_USUAL * 1000,
        # The clip is not fetched then, and the lease stays.
        has_next_stage=True,
        duration_quantiles_ms=await around.durations.quantiles_ms(_SERIES, _USUAL),
    )
    message.submit_time.FromDatetime(submit_time)
    message.deadline_time.FromDatetime(submit_time + timedelta(minutes=15))
    await around.nats.publish("video.poll.flow", message, msg_id=f"{clip['name']}:1:bench")


@asynccontextmanager
async def _surroundings(folder: Path) -> AsyncIterator[Surroundings]:
    async with AsyncExitStack() as stack:
        sandbox = await stack.enter_async_context(_sandbox())
        redis = await stack.enter_async_context(private_redis(folder / "redis"))
        nats_server = await stack.enter_async_context(private_nats(folder / "nats"))
        port = free_port()
        settings = {
            **sandbox.settings,
            "FLOW2API_REDIS_URL": redis.url,
            "FLOW2API_NATS_URL": nats_server.url,
            "FLOW2API_DATABASE_URL": f"sqlite+aiosqlite:///{folder / 'tokens.db'}",
            "FLOW2API_MEDIA_URL": f"file://{folder / 'media'}",
            "FLOW2API_TOKEN_ADDR": f"127.0.0.1:{port}",
            "FLOW2API_SERVICE_TOKEN": secrets.token_urlsafe(32),
            "FLOW2API_SECRET_KEY": secrets.token_urlsafe(32),
            "FLOW2API_LOG_LEVEL": "warning",
        }
        await stack.enter_async_context(running_process(_flow2api(), "serve", "token", "--migrate", env=settings))
        nats_settings = load_settings(NatsSettings, nats_url=SecretStr(nats_server.url))
        nats = await stack.enter_async_context(nats_connection(nats_settings, "bench"))
        await nats.ensure_streams()
        durations = await stack.enter_async_context(_durations(folder / "generation.db"))
        around = Surroundings(sandbox, nats, durations, settings)
        around.token_ids = await _add_tokens(settings)
        yield around


@asynccontextmanager
async def _durations(path: Path) -> AsyncIterator[Durations]:
    url = SecretStr(f"sqlite+aiosqlite:///{path}")
    await migrate(load_settings(DatabaseSettings, database_url=url))
    database = Database(url, schema=SCHEMA)
    durations = Durations(database=database, clock=utc_now, interval=timedelta(seconds=1))
    learning = asyncio.create_task(durations.run(), name="durations")
    try:
        yield durations
    finally:
        learning.cancel()
        await asyncio.gather(learning, return_exceptions=True)
        await database.aclose()


@asynccontextmanager
async def _sandbox() -> AsyncIterator[Sandbox]:
    settings = {"FLOW2API_SANDBOX_SEED_ACCOUNTS": str(_TOKENS)}
    async with running_process(sys.executable, "-m", "flow2api_sandbox", "--port", "0", env=settings) as process:
        urls = json.loads(await first_line(process))
        async with httpx.AsyncClient(base_url=urls["control_url"].removesuffix("/_sandbox"), timeout=60) as control:
            yield Sandbox(
                {"FLOW2API_FLOW_LABS_URL": urls["flow_labs_url"], "FLOW2API_FLOW_API_URL": urls["flow_api_url"]},
                control,
            )


async def _add_tokens(settings: Mapping[str, str]) -> list[int]:
    service_token = SecretStr(settings["FLOW2API_SERVICE_TOKEN"])
    async with open_channel(settings["FLOW2API_TOKEN_ADDR"], service_token=service_token) as channel:
        stub = token_service_pb2_grpc.TokenServiceStub(channel)
        token_ids = []
        for number in range(1, _TOKENS + 1):
            request = token_service_pb2.CreateTokenRequest(
                provider="flow", secret=f"sandbox-st-{number}", video_concurrency=-1
            )
            answer = await stub.CreateToken(request, timeout=60, wait_for_ready=True)
            token_ids.append(answer.token.token_id)
        return token_ids


async def _until_listening(nats: NatsConnection) -> None:
    async with asyncio.timeout(60):
        while True:
            try:
                if (await nats.js.consumer_info(VIDEO_JOBS, _DURABLE)).num_waiting:
                    return
            except NotFoundError:
                pass  # It has not made its consumer yet.
            await asyncio.sleep(0.1)


def _flow2api() -> str:
    return str(Path(sys.executable).with_name("flow2api"))
