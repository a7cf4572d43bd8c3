"""A pool of accounts that tests can look into, and the service over real gRPC, NATS, SQL and the sandbox."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

import pytest
import pytest_asyncio
from PIL import Image
from pydantic import SecretStr

from flow2api_common.database import Database
from flow2api_common.errors import CapacityError, FailedPrecondition, Flow2APIError
from flow2api_common.grpc_client import open_channel
from flow2api_common.grpc_server import GrpcServer
from flow2api_common.ids import new_id
from flow2api_common.settings import DatabaseSettings, load_settings
from flow2api_generation_service.composition import running_generation_service
from flow2api_generation_service.migrate import migrate
from flow2api_generation_service.models_base import SCHEMA
from flow2api_generation_service.settings import GenerationServiceSettings
from flow2api_proto.access.v1 import access_service_pb2, access_service_pb2_grpc, request_quota_pb2
from flow2api_proto.generation.v1 import generation_service_pb2_grpc, image_pb2
from flow2api_proto.tokens.v1 import token_pb2, token_service_pb2, token_service_pb2_grpc
from flow2api_sandbox.server import RunningSandbox
from flow2api_testing.migrated import migrate_by_copy
from flow2api_upstream.port import Account, Secret
from flow2api_upstream.registry import ProviderRegistry, build_registry
from flow2api_upstream.settings import UpstreamSettings


@dataclass
class PooledAccount:
    """An account of the sandbox, as the pool keeps it."""

    credential: token_pb2.Credential
    secret: Secret
    limit: int = 100
    live: set[str] = field(default_factory=set)


class PoolStandIn(token_service_pb2_grpc.TokenServiceServicer):
    """The lease part of the token service, for looking at what the generation service does with it.

    It waits, chooses in order of the candidates and then of the tokens, and keeps every outcome.
    """

    def __init__(self, providers: ProviderRegistry) -> None:
        self._providers = providers
        self.accounts: dict[int, PooledAccount] = {}
        self.leases: dict[str, token_pb2.Lease] = {}
        self.outcomes: list[tuple[int, token_pb2.LeaseOutcome]] = []
        self.renewals: list[str] = []
        self.balances: list[token_service_pb2.ReportCreditsRequest] = []
        self.acquired: list[token_service_pb2.AcquireLeaseRequest] = []
        self.waiting = 0
        self._given: dict[str, token_service_pb2.AcquireLeaseResponse] = {}
        self._changed = asyncio.Condition()

    @property
    def live_leases(self) -> int:
        return len(self.leases)

    @property
    def outcome_names(self) -> list[str]:
        return [token_pb2.Outcome.Name(outcome.outcome).removeprefix("OUTCOME_") for _, outcome in self.outcomes]

    async def add_flow(self, secret: str, *, limit: int = 100) -> int:
        token_id = len(self.accounts) + 1
        provider = self._providers.get("flow")
        grant = await provider.refresh(Secret(secret))
        account = Account(token_id=token_id, bearer=grant.bearer, session_token=secret)
        project = await provider.create_project(account, "tests")
        state = await provider.probe(replace(account, project_id=project.project_id))
        credential = token_pb2.Credential(
            token_id=token_id,
            provider="flow",
            bearer=grant.bearer,
            version=1,
            session_token=secret,
            project_id=project.project_id,
            tier=token_pb2.Tier.ValueType(state.tier),
        )
        self.accounts[token_id] = PooledAccount(credential, Secret(secret), limit)
        return token_id

    def add_gemini(self, secret: str, *, limit: int = 100) -> int:
        token_id = len(self.accounts) + 1
        credential = token_pb2.Credential(token_id=token_id, provider="gemini", bearer=secret, version=1)
        self.accounts[token_id] = PooledAccount(credential, Secret(secret), limit)
        return token_id

    async def AcquireLease(  # noqa: N802 - the name of the RPC
        self, request: token_service_pb2.AcquireLeaseRequest, context: Any
    ) -> token_service_pb2.AcquireLeaseResponse:
        self.acquired.append(request)
        wait = request.wait_timeout.ToTimedelta().total_seconds()
        given = self._given.get(request.request_id)
        if given is not None and given.lease.lease_id in self.leases:
            # A repeat of the call gets the same lease.
            return given
        if not any(self._fitting(request)):
            raise FailedPrecondition("nobody", reason="NO_ELIGIBLE_TOKEN")
        self.waiting += 1
        try:
            async with asyncio.timeout(wait), self._changed:
                await self._changed.wait_for(lambda: self._free(request) is not None)
                chosen = self._free(request)
                assert chosen is not None
                return self._lease(request, *chosen)
        except TimeoutError:
            raise CapacityError("all busy", retry_after=timedelta(seconds=3)) from None
        finally:
            self.waiting -= 1

    async def RenewLeases(  # noqa: N802 - the name of the RPC
        self, request: token_service_pb2.RenewLeasesRequest, context: Any
    ) -> token_service_pb2.RenewLeasesResponse:
        self.renewals += [lease.lease_id for lease in request.leases]
        return token_service_pb2.RenewLeasesResponse(
            renewals=[
                token_service_pb2.LeaseRenewal(
                    lease_id=lease.lease_id, renewed=lease.lease_id in self.leases, lease=lease
                )
                for lease in request.leases
            ]
        )

    async def ReleaseLease(  # noqa: N802 - the name of the RPC
        self, request: token_service_pb2.ReleaseLeaseRequest, context: Any
    ) -> token_service_pb2.ReleaseLeaseResponse:
        lease = self.leases.pop(request.lease.lease_id, None)
        if lease is not None:
            self.accounts[lease.token_id].live.discard(lease.lease_id)
            self.outcomes.append((lease.token_id, request.outcome))
        async with self._changed:
            self._changed.notify_all()
        return token_service_pb2.ReleaseLeaseResponse(was_live=lease is not None)

    async def AbandonLease(  # noqa: N802 - the name of the RPC
        self, request: token_service_pb2.AbandonLeaseRequest, context: Any
    ) -> token_service_pb2.AbandonLeaseResponse:
        # A cancelled call of AcquireLease takes no lease here.
        return token_service_pb2.AbandonLeaseResponse()

    async def ReportCredits(  # noqa: N802 - the name of the RPC
        self, request: token_service_pb2.ReportCreditsRequest, context: Any
    ) -> token_service_pb2.ReportCreditsResponse:
        self.balances.append(request)
        return token_service_pb2.ReportCreditsResponse()

    async def GetCredential(  # noqa: N802 - the name of the RPC
        self, request: token_service_pb2.GetCredentialRequest, context: Any
    ) -> token_service_pb2.GetCredentialResponse:
        account = self.accounts[request.token_id]
        if request.rejected_version:
            grant = await self._providers.get(account.credential.provider).refresh(account.secret)
            account.credential.bearer = grant.bearer
            account.credential.version += 1
        return token_service_pb2.GetCredentialResponse(credential=account.credential)

    def _fitting(self, request: token_service_pb2.AcquireLeaseRequest) -> list[tuple[int, PooledAccount]]:
        return [
            (index, account)
            for index, candidate in enumerate(request.candidates)
            for token_id, account in self.accounts.items()
            if account.credential.provider == candidate.provider
            and account.credential.tier >= candidate.min_tier
            and token_id not in request.excluded_token_ids
        ]

    def _free(self, request: token_service_pb2.AcquireLeaseRequest) -> tuple[int, PooledAccount] | None:
        return next((each for each in self._fitting(request) if len(each[1].live) < each[1].limit), None)

    def _lease(
        self, request: token_service_pb2.AcquireLeaseRequest, index: int, account: PooledAccount
    ) -> token_service_pb2.AcquireLeaseResponse:
        lease = token_pb2.Lease(
            lease_id=new_id(), token_id=account.credential.token_id, kind=request.kind, api_key_id=request.api_key_id
        )
        self.leases[lease.lease_id] = lease
        account.live.add(lease.lease_id)
        given = token_service_pb2.AcquireLeaseResponse(
            lease=lease, credential=account.credential, candidate_index=index
        )
        if request.request_id:
            self._given[request.request_id] = given
        return given


class AccessStandIn(access_service_pb2_grpc.AccessServiceServicer):
    """Lets every generation begin, and keeps what was asked, until a test says otherwise."""

    def __init__(self) -> None:
        self.asked: list[access_service_pb2.AuthorizeGenerationRequest] = []
        self.refusal: Flow2APIError | None = None
        self.gate: asyncio.Event | None = None
        self.quota: request_quota_pb2.RequestQuota | None = None
        self.daily_credit_budget = -1
        self.daily_budget_micro_usd = -1

    async def AuthorizeGeneration(  # noqa: N802 - the name of the RPC
        self, request: access_service_pb2.AuthorizeGenerationRequest, context: Any
    ) -> access_service_pb2.AuthorizeGenerationResponse:
        self.asked.append(request)
        if self.gate is not None:
            await self.gate.wait()
        if self.refusal is not None:
            raise self.refusal
        api_key = access_service_pb2.ApiKey(
            api_key_id=request.api_key_id,
            daily_credit_budget=self.daily_credit_budget,
            daily_budget_micro_usd=self.daily_budget_micro_usd,
        )
        return access_service_pb2.AuthorizeGenerationResponse(api_key=api_key, request_quota=self.quota)


@pytest.fixture
def access() -> AccessStandIn:
    """The keys of this test."""
    return AccessStandIn()


@pytest_asyncio.fixture
async def pool(upstream_settings: UpstreamSettings) -> AsyncIterator[PoolStandIn]:
    """An empty pool."""
    providers = build_registry(upstream_settings)
    yield PoolStandIn(providers)
    await providers.aclose()


@pytest_asyncio.fixture
async def token_addr(pool: PoolStandIn, access: AccessStandIn, service_token: SecretStr) -> AsyncIterator[str]:
    """Where the pool and the keys are asked."""

    async def ready() -> None:
        return None

    server = GrpcServer(
        address="127.0.0.1:0",
        service_token=service_token,
        service_names=["flow2api.tokens.v1.TokenService"],
        readiness=ready,
    )
    server.register(lambda grpc_server: token_service_pb2_grpc.add_TokenServiceServicer_to_server(pool, grpc_server))
    server.register(
        lambda grpc_server: access_service_pb2_grpc.add_AccessServiceServicer_to_server(access, grpc_server)
    )
    yield await server.start()
    await server.stop(timedelta(0))


@pytest.fixture
def generation_settings(
    sandbox: RunningSandbox,
    token_addr: str,
    sqlite_url: str,
    nats_url: str,
    media_url: str,
    service_token: SecretStr,
    secret_key: SecretStr,
) -> GenerationServiceSettings:
    """Settings of a service over the servers of this test."""
    return load_settings(
        GenerationServiceSettings,
        generation_addr="127.0.0.1:0",
        token_addr=token_addr,
        database_url=sqlite_url,
        nats_url=nats_url,
        media_url=media_url,
        service_token=service_token,
        secret_key=secret_key,
        flow_labs_url=sandbox.flow_labs_url,
        flow_api_url=sandbox.flow_api_url,
        gemini_url=sandbox.gemini_url,
        upstream_impersonate="",
        image_token_wait=timedelta(seconds=5),
        shutdown_grace=timedelta(seconds=10),
    )


@dataclass(frozen=True)
class GenerationClient:
    """A client of a running service."""

    stub: Any
    api_key_id: str

    async def images(self, **fields: Any) -> list[image_pb2.GenerateImageResponse]:
        """Every event of a generation."""
        return [event async for event in self.start(**fields)]

    def start(self, **fields: Any) -> Any:
        """A generation under way, to be followed or cancelled."""
        request = {
            "model_id": "gemini-3.1-flash-image",
            "prompt": "a lighthouse",
            "api_key_id": self.api_key_id,
        } | fields
        return self.stub.GenerateImage(image_pb2.GenerateImageRequest(**request), timeout=60)


StartService = Callable[..., AbstractAsyncContextManager[GenerationClient]]


@pytest.fixture
def api_key_id() -> str:
    """In whose name pictures are made."""
    return "key_1"


@pytest.fixture
def start_service(
    generation_settings: GenerationServiceSettings, service_token: SecretStr, api_key_id: str
) -> StartService:
    """Runs a service with some settings changed."""

    @asynccontextmanager
    async def start(**changes: Any) -> AsyncIterator[GenerationClient]:
        settings = generation_settings.model_copy(update=changes)
        await migrate_by_copy(settings, migrate)
        async with running_generation_service(settings) as service:
            channel = open_channel(service.address, service_token=service_token)
            yield GenerationClient(generation_service_pb2_grpc.GenerationServiceStub(channel), api_key_id)
            await channel.close()

    return start


@pytest_asyncio.fixture
async def client(start_service: StartService) -> AsyncIterator[GenerationClient]:
    """A client of a service."""
    async with start_service() as running:
        yield running


@pytest_asyncio.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """A migrated database, once of each kind."""
    await migrate_by_copy(load_settings(DatabaseSettings, database_url=database_url), migrate)
    opened = Database(SecretStr(database_url), schema=SCHEMA)
    yield opened
    await opened.aclose()


@pytest.fixture
def picture() -> Callable[..., bytes]:
    """Makes the bytes of a picture."""

    def make(size: tuple[int, int] = (64, 48), kind: str = "PNG", color: Sequence[int] = (200, 30, 30)) -> bytes:
        out = io.BytesIO()
        Image.new("RGB", size, tuple(color)).save(out, format=kind)
        return out.getvalue()

    return make
