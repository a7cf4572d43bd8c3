"""Settings of the token service, in groups: a component takes the group that it needs."""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr

from flow2api_common.grpc_tls import GrpcServerTlsSettings
from flow2api_common.settings import (
    BaseServiceSettings,
    DatabaseSettings,
    Duration,
    Pause,
    SecretKeySettings,
    ServiceAuthSettings,
    TokenClientSettings,
)
from flow2api_token_service.leases.records import Strategy
from flow2api_upstream.settings import UpstreamSettings

MIN_PASSWORD_LENGTH = 8
MIN_API_KEY_LENGTH = 16


class ProxyStrategy(StrEnum):
    """How tokens are spread over the proxies."""

    STICKY = "sticky"
    """Each token keeps its proxy."""
    ROTATE = "rotate"
    """Each lease gets the next one."""
    NONE = "none"
    """Proxies are not used, except a token's own."""


def _check_http_url(url: str) -> str:
    if url and not url.startswith(("http://", "https://")):
        raise ValueError("must begin with http:// or https://")
    return url


def _check_redis_url(url: SecretStr) -> SecretStr:
    if not url.get_secret_value().startswith(("redis://", "rediss://", "unix://")):
        raise ValueError("must begin with redis://, rediss:// or unix://")
    return url


def _check_concurrency(limit: int) -> int:
    if limit < -1:
        raise ValueError("must be -1 (unlimited) or more")
    return limit


def _check_not_none(limit: int) -> int:
    if limit == 0:
        raise ValueError("must be -1 (unlimited), or 1 or more: switch a route off instead")
    return limit


def _check_api_key(key: SecretStr | None) -> SecretStr | None:
    if key is not None and len(key.get_secret_value()) < MIN_API_KEY_LENGTH:
        raise ValueError(f"must have at least {MIN_API_KEY_LENGTH} characters")
    if key is not None and not all("!" <= character <= "~" for character in key.get_secret_value()):
        raise ValueError("must have printable ASCII characters only, none of them blank: it stands in a header")
    return key


def _check_password(password: SecretStr | None) -> SecretStr | None:
    if password is not None and len(password.get_secret_value()) < MIN_PASSWORD_LENGTH:
        raise ValueError(f"must have at least {MIN_PASSWORD_LENGTH} characters")
    return password


Concurrency = Annotated[int, AfterValidator(_check_concurrency)]
"""How many at the same time; -1 means unlimited."""


class ModelLimit(BaseModel):
    """What one token may be given of an upstream model; -1 is unlimited."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    requests_per_minute: Annotated[int, Field(ge=-1, le=60_000), AfterValidator(_check_not_none)] = -1
    concurrency: Annotated[int, Field(ge=-1), AfterValidator(_check_not_none)] = -1


_MODEL_LIMITS = {
    # docs/upstream/google-official.md, section 1: orders of magnitude; what a project has, its console shows.
    "vertex/veo-*": ModelLimit(requests_per_minute=50, concurrency=10),
    "gemini/veo-*": ModelLimit(requests_per_minute=10, concurrency=10),
    "*/gemini-omni-*": ModelLimit(requests_per_minute=2000),
    "gemini/gemini-*": ModelLimit(requests_per_minute=1000),
    "vertex/gemini-*": ModelLimit(requests_per_minute=1000),
}


class RedisSettings(BaseServiceSettings):
    """``redis://…``, ``rediss://…`` or ``unix:///path``; Redis 6.2 or later, or Valkey."""

    redis_url: Annotated[SecretStr, AfterValidator(_check_redis_url)]
    redis_pool_size: int = Field(default=64, ge=1)
    """Connections of one process; calls beyond that wait for one."""


class PoolSettings(BaseServiceSettings):
    """How the pool behaves."""

    default_image_concurrency: Concurrency = -1
    """Images at the same time on a token that is added without a limit of its own."""
    default_video_concurrency: Concurrency = -1
    """Videos at the same time on a token that is added without a limit of its own."""
    model_limits: dict[str, ModelLimit] = _MODEL_LIMITS
    """Leases that one token is given for an upstream model within a minute (`requests_per_minute`) and at the same time
    (`concurrency`), by `provider/model`, as JSON: `{"vertex/veo-*": {"requests_per_minute": 50, "concurrency": 10}}`.
    `*` stands for any characters; the first that fits counts, and what fits none is unlimited. It replaces the default
    as a whole; a token's own limits come before it."""
    lease_strategy: Strategy = Strategy.LEAST_LOADED
    """Which token is chosen: `least_loaded`, `round_robin` or `random`. The same for all replicas."""
    refresh_margin: Duration = timedelta(hours=1)
    """Access tokens are renewed in the background when less than this is left."""
    refresh_interval: Duration = timedelta(seconds=30)
    """How often the background looks for access tokens to renew and tokens to probe."""
    refresh_concurrency: int = Field(default=4, ge=1)
    """Upstream calls of the background at the same time, per process."""
    credits_interval: Duration = timedelta(hours=1)
    """How often a token that is parked for credits is looked at again."""
    projects_per_token: int = Field(default=1, ge=1, le=10)
    """Upstream projects of a token, where its provider has projects; with more than one, leases take turns in them."""
    credits_refresh_interval: Duration = timedelta(hours=6)
    """Credits and plan of a token in use are read when nothing, no refresh either, has read them for so long."""
    sweep_interval: Duration = timedelta(seconds=1)
    """How often leases past their deadline are ended when nobody else has looked."""
    lease_restore_grace: Pause = timedelta(seconds=15)
    """How long after the leases of all videos have come back no video is begun yet: others may hold leases as well."""
    lease_restore_limit: Pause = timedelta(minutes=5)
    """How long at most no video is begun after Redis has lost everything and nobody brings the leases of the running
    videos back, because the generation service or its database is away."""
    resync_interval: Duration = timedelta(seconds=30)
    """How often changes in SQL that may have missed Redis are written there again."""
    stats_interval: Duration = timedelta(seconds=2)
    """How often counters are written to SQL."""


class ProxySettings(BaseServiceSettings):
    """Which proxy a token goes through, and how proxies are checked. Without any proxy, calls go direct."""

    proxy_strategy: ProxyStrategy = ProxyStrategy.STICKY
    """`sticky`: each token keeps its proxy; `rotate`: each lease gets the next one; `none`: proxies are not used."""
    proxy_allow_direct: bool = False
    """Whether calls go out without a proxy while there are proxies and none of them can be used."""
    proxy_check_url: Annotated[str, AfterValidator(_check_http_url)] = ""
    """What a check asks for over a proxy; without it, the session page of `FLOW2API_FLOW_LABS_URL`."""
    proxy_check_interval: Duration = timedelta(minutes=1)
    """How often a proxy that works is checked."""
    proxy_check_timeout: Duration = timedelta(seconds=10)
    """How long a check may take."""
    proxy_check_concurrency: int = Field(default=8, ge=1)
    """Checks of the background at the same time, per process."""
    proxy_first_pause: Duration = timedelta(seconds=10)
    """How soon a proxy whose check has failed is checked again; doubled each time."""
    proxy_longest_pause: Duration = timedelta(minutes=10)
    """The longest time between two checks of a proxy that fails; a minute while none works."""


class RetentionSettings(BaseServiceSettings):
    """How long history is kept."""

    token_event_retention: Duration = timedelta(days=30)
    """How long changes of the health of tokens are kept."""
    audit_retention: Duration = timedelta(days=365)
    """How long entries of the audit log are kept."""
    retention_interval: Duration = timedelta(hours=1)
    """How often old entries are deleted."""


class QueueSettings(BaseServiceSettings):
    """How many callers may wait for a lease, over all replicas; more are refused at once."""

    queue_limit: int = Field(default=1000, ge=1)
    """Callers that wait for a lease at the same time."""
    queue_limit_per_key: int = Field(default=500, ge=1)
    """Callers of one API key that wait for a lease at the same time."""


class AccessSettings(BaseServiceSettings):
    """API keys and administrators; the first of each may come from the settings."""

    api_key: Annotated[SecretStr | None, AfterValidator(_check_api_key)] = None
    admin_username: str = Field(default="admin", min_length=1, max_length=100)
    admin_password: Annotated[SecretStr | None, AfterValidator(_check_password)] = None
    default_api_key_concurrency: Concurrency = -1
    """Generations in flight of an API key that is made without a limit of its own."""
    api_key_cache_duration: Duration = timedelta(seconds=30)
    """How long a gateway may go on using an answer about an API key while it is told of every change."""
    api_key_unwatched_cache_duration: Duration = timedelta(seconds=2)
    """The same while it is not told: a revoked key may work for so long."""
    session_lifetime: Duration = timedelta(hours=12)
    """After this an administrator logs in again."""


class TokenServiceSettings(
    DatabaseSettings,
    SecretKeySettings,
    ServiceAuthSettings,
    GrpcServerTlsSettings,
    TokenClientSettings,
    RedisSettings,
    PoolSettings,
    ProxySettings,
    RetentionSettings,
    QueueSettings,
    AccessSettings,
    UpstreamSettings,
):
    """Everything that the token service is told. It listens on ``token_addr``."""
