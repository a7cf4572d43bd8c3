"""A program that is not ours uses the pool by gRPC alone: leases, accounts, reflection, errors with details."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

from flow2api_proto.access.v1 import access_service_pb2
from flow2api_proto.generation.v1 import generation_service_pb2, webhook_service_pb2
from flow2api_proto.tokens.v1 import (
    project_service_pb2,
    proxy_service_pb2,
    token_pb2,
    token_service_pb2,
    token_service_pb2_grpc,
)
from flow2api_testing.certificates import TestAuthority
from flow2api_testing.programs import (
    SandboxProgram,
    block_until,
    flow2api,
    free_port,
    run_flow2api,
    sandbox_program,
)
from flow2api_testing.servers import running_nats, running_redis

pytestmark = pytest.mark.timeout(300)

EXAMPLE = Path(__file__).parents[2] / "docs" / "examples" / "lease.py"
BEARER = [("authorization", "Bearer service-token-of-others")]
MODEL = "GEM_PIX_2"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """A token service with one account, and a generation service beside it."""

    variables: Mapping[str, str]
    sandbox: SandboxProgram
    token_channel: grpc.Channel
    generation_channel: grpc.Channel

    @property
    def tokens(self) -> token_service_pb2_grpc.TokenServiceStub:
        return token_service_pb2_grpc.TokenServiceStub(self.token_channel)

    def the_token(self) -> token_pb2.Token:
        (token,) = self.tokens.ListTokens(token_service_pb2.ListTokensRequest(), metadata=BEARER, timeout=10).tokens
        return token

    def run_example(self, prompt: str, file: Path, **variables: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(  # noqa: S603 - our own program
            [sys.executable, str(EXAMPLE), prompt, str(file)],
            env={**os.environ, **self.variables, **variables},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pool]:
    directory = tmp_path_factory.mktemp("others")
    authority = TestAuthority(directory / "certificates")
    files = authority.issue("server")
    with (
        sandbox_program(directory / "sandbox", time_scale="0") as sandbox,
        running_redis(directory / "redis") as redis_socket,
        running_nats(directory / "nats") as nats_url,
    ):
        variables = sandbox.settings() | {
            "FLOW2API_SECRET_KEY": "secret-key-of-others-0123456789",
            "FLOW2API_SERVICE_TOKEN": "service-token-of-others",
            "FLOW2API_DATABASE_URL": f"sqlite+aiosqlite:///{directory / 'token.db'}",
            "FLOW2API_REDIS_URL": f"unix://{redis_socket}",
            "FLOW2API_NATS_URL": nats_url,
            "FLOW2API_MEDIA_URL": f"file://{directory}",
            "FLOW2API_TOKEN_ADDR": f"127.0.0.1:{free_port()}",
            "FLOW2API_GENERATION_ADDR": f"127.0.0.1:{free_port()}",
            "FLOW2API_UPSTREAM_IMPERSONATE": "",
            "FLOW2API_GRPC_SERVER_CERT_FILE": str(files.cert),
            "FLOW2API_GRPC_SERVER_KEY_FILE": str(files.key),
            "FLOW2API_GRPC_CA_FILE": str(authority.file),
        }
        own = {"generation": {"FLOW2API_DATABASE_URL": f"sqlite+aiosqlite:///{directory / 'generation.db'}"}}
        programs = {
            name: flow2api(
                name, "serve", name, "--migrate", variables=variables | own.get(name, {}), directory=directory
            )
            for name in ("token", "generation")
        }
        credentials = grpc.ssl_channel_credentials(authority.file.read_bytes())
        channels = {
            name: grpc.secure_channel(variables[f"FLOW2API_{name.upper()}_ADDR"], credentials) for name in programs
        }
        try:
            for program in programs.values():
                program.start()
            for name in programs:
                block_until(
                    lambda name=name: run_flow2api("health", name, variables=variables).returncode == 0,
                    *programs.values(),
                )
            running = Pool(
                variables=variables,
                sandbox=sandbox,
                token_channel=channels["token"],
                generation_channel=channels["generation"],
            )
            running.tokens.CreateToken(
                token_service_pb2.CreateTokenRequest(secret="sandbox-st-1"), metadata=BEARER, timeout=60
            )
            yield running
        finally:
            for channel in channels.values():
                channel.close()
            for program in reversed(programs.values()):
                program.stop()


class TestTheExample:
    def test_it_makes_a_picture_with_a_lease_that_it_keeps_alive_and_gives_back(
        self, pool: Pool, tmp_path: Path
    ) -> None:
        prompt, file = "a heron [[fault:delay delay=1.5]]", tmp_path / "heron.jpg"
        before = pool.the_token()
        made = pool.run_example(prompt, file, LEASE_SECONDS="2")
        assert made.returncode == 0, made.stderr
        assert file.read_bytes()[:3] in (b"\xff\xd8\xff", b"\x89PN")
        assert pool.sandbox.submissions()[prompt] == 1
        assert "released as OUTCOME_OK\n" in made.stdout
        assert len(re.findall(r"^renewed until 20", made.stdout, re.MULTILINE)) >= 1
        after = pool.the_token()
        assert after.image_leases == 0
        block_until(lambda: pool.the_token().stats.image_count == before.stats.image_count + 1, timeout=10)

    def test_an_account_whose_bearer_has_ended_is_renewed_once(self, pool: Pool, tmp_path: Path) -> None:
        prompt = "a crane [[fault:401 times=1]]"
        made = pool.run_example(prompt, tmp_path / "crane.jpg")
        assert made.returncode == 0, made.stderr
        assert pool.sandbox.submissions()[prompt] == 1

    def test_the_pool_learns_from_a_refusal_and_says_when_to_come_again(self, pool: Pool, tmp_path: Path) -> None:
        refused = pool.run_example("a stork [[fault:429 retry_after=77]]", tmp_path / "none.jpg")
        assert refused.returncode == 1
        assert "released as OUTCOME_RATE_LIMITED\n" in refused.stdout
        request = token_service_pb2.AcquireLeaseRequest(
            request_id="at-once",
            kind=token_pb2.KIND_IMAGE,
            candidates=[token_pb2.LeaseCandidate(provider="flow", upstream_model=MODEL)],
        )
        request.lease_duration.FromSeconds(10)
        with pytest.raises(grpc.RpcError) as caught:
            pool.tokens.AcquireLease(request, metadata=BEARER, timeout=10)
        assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        pool.tokens.EnableToken(
            token_service_pb2.EnableTokenRequest(token_id=pool.the_token().token_id), metadata=BEARER, timeout=10
        )

    def test_it_says_what_is_wrong_with_its_service_token(self, pool: Pool, tmp_path: Path) -> None:
        refused = pool.run_example("x", tmp_path / "none.jpg", FLOW2API_SERVICE_TOKEN="wrong")
        assert refused.returncode == 1
        assert refused.stderr.startswith("no lease: UNAUTHENTICATED SERVICE_TOKEN_INVALID: ")


class TestReflection:
    @pytest.fixture
    def databases(self, pool: Pool) -> list[ProtoReflectionDescriptorDatabase]:
        bearer = _Bearer()
        return [
            ProtoReflectionDescriptorDatabase(grpc.intercept_channel(channel, bearer))
            for channel in (pool.token_channel, pool.generation_channel)
        ]

    def test_it_lists_every_service(self, databases) -> None:
        tokens, generation = (set(database.get_services()) for database in databases)
        own = {"grpc.health.v1.Health", "grpc.reflection.v1alpha.ServerReflection"}
        assert tokens == {
            "flow2api.tokens.v1.TokenService",
            "flow2api.tokens.v1.ProxyService",
            "flow2api.tokens.v1.ProjectService",
            "flow2api.access.v1.AccessService",
            *own,
        }
        assert generation == {
            "flow2api.generation.v1.GenerationService",
            "flow2api.generation.v1.SettingsService",
            "flow2api.generation.v1.WebhookService",
            *own,
        }

    def test_it_describes_every_method_and_message(self, databases) -> None:
        for database, modules in zip(
            databases,
            (
                [token_service_pb2, proxy_service_pb2, project_service_pb2, access_service_pb2],
                [generation_service_pb2, webhook_service_pb2],
            ),
            strict=True,
        ):
            described = DescriptorPool(database)
            for module in modules:
                for service in module.DESCRIPTOR.services_by_name.values():
                    methods = described.FindServiceByName(service.full_name).methods
                    assert [shape(method) for method in methods] == [shape(method) for method in service.methods]

    def test_it_wants_the_service_token(self, pool: Pool) -> None:
        with pytest.raises(grpc.RpcError) as caught:
            ProtoReflectionDescriptorDatabase(pool.token_channel).get_services()
        assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED


def shape(method: Any) -> tuple[Any, ...]:
    """A method with the fields of its messages, and of those in them."""
    return method.full_name, fields(method.input_type, 3), fields(method.output_type, 3)


def fields(message: Any, depth: int) -> list[tuple[Any, ...]]:
    return [
        (field.name, field.number, field.type, fields(field.message_type, depth - 1))
        if field.message_type and depth
        else (field.name, field.number, field.type)
        for field in message.fields
    ]


class _Bearer(grpc.StreamStreamClientInterceptor):
    """The service token on reflection, whose client takes no metadata."""

    def intercept_stream_stream(self, continuation: Any, client_call_details: Any, request_iterator: Any) -> Any:
        class Details(grpc.ClientCallDetails):
            method = client_call_details.method
            timeout = 10
            metadata = BEARER
            credentials = client_call_details.credentials
            wait_for_ready = client_call_details.wait_for_ready
            compression = client_call_details.compression

        return continuation(Details(), request_iterator)
