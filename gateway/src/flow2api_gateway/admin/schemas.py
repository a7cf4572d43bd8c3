"""What administrators send: the original's fields, and what the other providers need."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr

_Int32 = Annotated[int, Field(ge=-(2**31), lt=2**31)]
_Int64 = Annotated[int, Field(ge=-(2**63), lt=2**63)]
# -1 is unlimited.
_Dollars = Annotated[float, Field(ge=-1, le=1_000_000_000, allow_inf_nan=False)]
_Concurrency = Annotated[int, Field(ge=-1, le=100_000)]


class _AdminRequest(BaseModel):
    model_config = ConfigDict(extra="ignore")


class LoginBody(_AdminRequest):
    """Body of ``POST /admin/login``."""

    username: str
    password: SecretStr
    cookie: bool = False


class PasswordChangeBody(_AdminRequest):
    """Body of ``POST /admin/password``."""

    old_password: SecretStr
    new_password: SecretStr


class AdminCreateBody(_AdminRequest):
    """Body of ``POST /admin/admins``."""

    username: str
    password: SecretStr


class PasswordResetBody(_AdminRequest):
    """Body of ``POST /admin/admins/{id}/password``."""

    new_password: SecretStr


class ModelLimitBody(BaseModel):
    """What one token may be given of an upstream model; -1 is unlimited, what is left out is left to the setting."""

    model_config = ConfigDict(extra="forbid")

    requests_per_minute: _Int32 | None = None
    concurrency: _Int32 | None = None


class TokenFields(_AdminRequest):
    """What may be set on a token."""

    st: SecretStr | None = None
    api_key: SecretStr | None = None
    service_account: dict[str, Any] | str | None = Field(default=None, repr=False)
    project_id: str | None = None
    project_name: str | None = None
    remark: str | None = None
    proxy_url: SecretStr | None = None
    image_enabled: bool | None = None
    video_enabled: bool | None = None
    image_concurrency: _Concurrency | None = None
    video_concurrency: _Concurrency | None = None
    model_limits: dict[str, ModelLimitBody] | None = Field(
        default=None, description="By upstream model, or a pattern with `*`; the first that fits. `{}` for none."
    )


class TokenCreateBody(TokenFields):
    """Body of ``POST /admin/tokens``. ``location``: of providers that have locations; one token is one location."""

    provider: str = "flow"
    location: str | None = None


class TokenUpdateBody(TokenFields):
    """Body of ``PUT /admin/tokens/{id}``; what is left out stays."""


class TokenExportBody(_AdminRequest):
    """Body of ``POST /admin/tokens/export``; without ``ids`` all tokens."""

    passphrase: SecretStr
    ids: list[Annotated[int, Field(ge=1, lt=2**63)]] | None = None


class TokenDisableBody(_AdminRequest):
    """Body of ``POST /admin/tokens/{id}/disable``; may be left out."""

    reason: str = ""


class ProjectCreateBody(_AdminRequest):
    """Body of ``POST /admin/tokens/{id}/projects``; without ``project_id`` a new one is made."""

    project_id: str | None = None
    project_name: str | None = None


class ProxyCreateBody(_AdminRequest):
    """Body of ``POST /admin/proxies``."""

    url: SecretStr
    name: str | None = None
    remark: str | None = None


class ProxyUpdateBody(_AdminRequest):
    """Body of ``PUT /admin/proxies/{id}``; what is left out stays."""

    url: SecretStr | None = None
    name: str | None = None
    remark: str | None = None
    enabled: bool | None = None


class ProxyImportBody(_AdminRequest):
    """Body of ``POST /admin/proxies/import``."""

    urls: list[SecretStr]


class KeyFields(_AdminRequest):
    """What an API key may do; -1 is unlimited."""

    max_concurrency: _Concurrency | None = Field(default=None, description="Generations in flight.")
    weight: _Int32 | None = Field(default=None, description="Share when generations wait, from 1 to 1000.")
    requests_per_minute: _Int32 | None = Field(default=None, description="From 1 to 60000.")
    daily_credit_budget: _Int64 | None = Field(default=None, description="Credits per day (UTC).")
    daily_budget_usd: _Dollars | None = Field(default=None, description="US dollars per day (UTC), to the millionth.")
    allowed_models: list[str] | None = Field(
        default=None, description="Ids of models; `*` stands for any characters. Empty for all."
    )
    expires_at: Annotated[int, Field(ge=0, le=253_402_300_799)] | None = Field(
        default=None, description="Unix seconds."
    )


class KeyCreateBody(KeyFields):
    """Body of ``POST /admin/keys``."""

    name: Annotated[str, Field(min_length=1, max_length=100)]
    key: SecretStr | None = None


class KeyUpdateBody(KeyFields):
    """Body of ``PUT`` and ``PATCH /admin/keys/{id}``; what is left out stays. ``expires_at`` null: never."""

    name: Annotated[str, Field(min_length=1, max_length=100)] | None = None


class SettingsChangeBody(BaseModel):
    """Body of ``PUT`` and ``PATCH /admin/settings``: new values by name; null takes a change back."""

    model_config = ConfigDict(extra="allow")


class RouteChangeBody(_AdminRequest):
    """Body of ``PUT /admin/routes``: a switch, an order, or both."""

    route: str | None = Field(default=None, description="`provider/upstream_model`.")
    enabled: bool | None = None
    reason: Annotated[str, Field(max_length=200)] | None = Field(default=None, description="Why, for people.")
    model: str | None = Field(default=None, description="A public model, or a pattern with `*`.")
    order: Annotated[list[str], Field(max_length=50)] | None = Field(
        default=None, description="Its routes, the first to be tried first; empty for the catalog's order."
    )


class LedgerResolveBody(_AdminRequest):
    """Body of ``POST /admin/ledger/{generation_id}/{line}/resolve``."""

    state: Literal["settled", "released"]
