"""After a run through the API of four services, no store, log, metric, trace, message or answer holds a secret."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
import redis

from flow2api_testing.listeners import RedisMonitor, TraceCollector, nats_tap, redis_monitor, trace_collector
from flow2api_testing.postgres import TestPostgres
from flow2api_testing.programs import block_until, free_port
from flow2api_testing.secret_run import SecretRun, found_secrets, kept_files, run_with_secrets
from flow2api_testing.systems import SERVICES, System, distributed_system

pytestmark = pytest.mark.timeout(300)

SERVICE_TOKEN, SECRET_KEY = "end-to-end-service-token", "end-to-end-secret-key-0123456789"
DEFAULT_WEBHOOK_SECRET = "whsec_dGhlLWluc3RhbGxhdGlvbi1pdHNlbGY="
POOL_PAGE = (Path(__file__).parents[2] / "docs" / "pool.md").read_text()
_SCHEMAS = ("tokens", "generation")


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """What one run has left everywhere, by place, once every process has ended; and its secrets."""

    run: SecretRun
    secrets: frozenset[str]
    tables: dict[str, bytes]
    files: dict[str, bytes]
    redis_keys: dict[str, bytes]
    redis_commands: bytes
    nats_messages: bytes
    metrics: dict[str, bytes]
    traces: TraceCollector
    postgres_log: bytes


@pytest.fixture(scope="module")
def findings(tmp_path_factory: pytest.TempPathFactory, postgres_server: TestPostgres) -> Iterator[Findings]:
    directory = tmp_path_factory.mktemp("distributed")
    with ExitStack() as stack:
        traces = stack.enter_context(trace_collector())
        # The entries that nobody reads in production are those that nobody has looked at.
        receiver = f"127.0.0.1:{free_port()}"
        settings = {
            "FLOW2API_ALLOW_PRIVATE_HOSTS": receiver,
            "FLOW2API_WEBHOOK_URL": f"http://{receiver}/default",
            "FLOW2API_WEBHOOK_SECRET": DEFAULT_WEBHOOK_SECRET,
            "FLOW2API_LOG_LEVEL": "debug",
            "FLOW2API_METRICS_ADDR": "127.0.0.1:0",
            "FLOW2API_OTLP_ENDPOINT": traces.endpoint,
        }
        system = stack.enter_context(distributed_system(directory, postgres_server, settings=settings, time_scale="0"))
        redis_path = urlsplit(system.variables["FLOW2API_REDIS_URL"]).path
        commands: RedisMonitor = stack.enter_context(redis_monitor(redis_path))
        messages = stack.enter_context(nats_tap(system.variables["FLOW2API_NATS_URL"]))
        run = run_with_secrets(system, webhook_url=f"http://{receiver}/hook")
        metrics = {name: read_metrics(system, name) for name in SERVICES}
        redis_keys = read_redis(redis_path)
        for name in reversed(SERVICES):
            system.programs[name].stop()
        database = system.variables["FLOW2API_DATABASE_URL"].rpartition("/")[2]
        yield Findings(
            run=run,
            secrets=frozenset({*run.secrets, SERVICE_TOKEN, SECRET_KEY, DEFAULT_WEBHOOK_SECRET}),
            tables=read_tables(postgres_server, database),
            files=kept_files(directory),
            redis_keys=redis_keys,
            redis_commands=commands.content(),
            nats_messages=bytes(messages),
            metrics=metrics,
            traces=traces,
            postgres_log=postgres_server.process._log_path.read_bytes(),
        )


def test_the_search_finds_what_is_there() -> None:
    places = {
        "clear": b"x secret-1 y",
        "hex": b'"\\x' + b"secret-1".hex().encode(),
        "base64": b"c2VjcmV0LTEK",
        "none": b"",
    }
    assert {place for place, _ in found_secrets(places, ["secret-1"])} == {"clear", "hex", "base64"}


def test_no_table_does(findings: Findings) -> None:
    assert found_secrets(findings.tables, findings.secrets) == []
    filled = {name for name, content in findings.tables.items() if content}
    assert {"tokens.tokens", "tokens.api_keys", "tokens.admins", "generation.jobs", "generation.request_logs"} <= filled


def test_nothing_that_redis_is_told_does(findings: Findings) -> None:
    assert found_secrets({"commands": findings.redis_commands}, findings.secrets) == []
    assert b"EVALSHA" in findings.redis_commands


def test_no_key_of_redis_does_and_each_is_on_the_operators_page(findings: Findings) -> None:
    assert found_secrets(findings.redis_keys, findings.secrets) == []
    section = POOL_PAGE.partition("Every Redis key begins")[2].partition("\n## ")[0]
    documented = {
        key for row in re.findall(r"^\| (`.*?) \|", section, re.MULTILINE) for key in re.findall(r"`([^`]+)`", row)
    }
    touched = set(re.findall(r"\{flow2api\}:([a-z-]+)", findings.redis_commands.decode(errors="replace")))
    assert {"token", "lease", "lock"} <= touched
    assert touched - documented == set(), "name what these Redis keys hold in docs/pool.md"


def test_no_message_and_no_file_of_nats_does(findings: Findings) -> None:
    store = {name: content for name, content in findings.files.items() if "/nats/" in name}
    assert found_secrets({**store, "messages": findings.nats_messages}, findings.secrets) == []
    assert b"video.submit." in findings.nats_messages
    assert b"video.events." in findings.nats_messages
    assert any(name.endswith(".blk") for name in store)


def test_no_log_does(findings: Findings) -> None:
    logs = {name: content for name, content in findings.files.items() if name.endswith(".log")}
    assert {Path(name).stem for name in logs} >= set(SERVICES)
    assert found_secrets({**logs, "postgres": findings.postgres_log}, findings.secrets) == []
    assert {Path(name).stem for name in logs if b'"level":"debug"' in logs[name]} >= {"token", "generation"}


def test_no_stored_file_does(findings: Findings) -> None:
    assert found_secrets(findings.files, findings.secrets) == []


def test_no_metric_does(findings: Findings) -> None:
    assert found_secrets(findings.metrics, findings.secrets) == []
    assert b"flow2api_grpc_server_handled_total" in findings.metrics["token"]


def test_no_answer_does(findings: Findings) -> None:
    assert found_secrets({"answers": "\n".join(findings.run.answers).encode()}, findings.secrets) == []


def test_no_trace_does_and_traces_arrive(findings: Findings) -> None:
    names = findings.traces.span_names
    assert "flow2api.tokens.v1.TokenService/AcquireLease" in names["flow2api-token"]
    assert "flow2api.generation.v1.GenerationService/GenerateImage" in names["flow2api-generation"]
    assert found_secrets({"traces": findings.traces.content()}, findings.secrets) == []


def read_tables(postgres: TestPostgres, database: str) -> dict[str, bytes]:
    """Every row of every table as JSON; bytes are hexadecimal there."""
    where = " OR ".join(f"schemaname = '{schema}'" for schema in _SCHEMAS)
    tables = f"SELECT schemaname || '.' || tablename FROM pg_tables WHERE {where}"  # noqa: S608 - our own names
    rows = "SELECT row_to_json(each) FROM {} AS each"
    return {
        name: postgres.execute(rows.format(name), database).encode()
        for name in postgres.execute(tables, database).split()
    }


def read_redis(socket_path: str) -> dict[str, bytes]:
    """Every key with its value."""
    readers = {
        "string": lambda key: client.get(key),
        "hash": lambda key: client.hgetall(key),
        "zset": lambda key: client.zrange(key, 0, -1, withscores=True),
        "set": lambda key: client.smembers(key),
        "list": lambda key: client.lrange(key, 0, -1),
        "stream": lambda key: client.xrange(key),
    }
    with redis.Redis(unix_socket_path=socket_path) as client:
        return {
            key.decode(): key + b" " + repr(readers[client.type(key).decode()](key)).encode()
            for key in client.scan_iter(count=1000)
        }


def read_metrics(system: System, name: str) -> bytes:
    """What a process measures, from the port that its log tells."""
    program = system.programs[name]

    def address() -> str:
        entries = (json.loads(line) for line in program.log().splitlines() if line.startswith("{"))
        return next((entry["address"] for entry in entries if entry["event"] == "metrics_served"), "")

    block_until(lambda: bool(address()), program, timeout=10)
    return httpx.get(f"http://{address()}/metrics", trust_env=False).raise_for_status().content
