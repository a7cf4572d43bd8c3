"""What administrators send: the original's fields, and what the other providers need."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, SecretStr

_Concurrency = Annotated[int, Field(ge=-1, le=100_000)]


class _AdminRequest(BaseModel):
    model_config = ConfigDict(extra="ignore")


class LoginBody(_AdminRequest):
    """Body of ``POST /admin/login``."""

    username: str
    password: SecretStr


class TokenFields(_AdminRequest):
    """What may be set on a token."""

    st: SecretStr | None = None
    api_key: SecretStr | None = None
    service_account: dict[str, Any] | str | None = Field(default=None, repr=False)
    project_id: str | None = None
    project_name: str | None = None
    remark: str | None = None
    image_enabled: bool | None = None
    video_enabled: bool | None = None
    image_concurrency: _Concurrency | None = None
    video_concurrency: _Concurrency | None = None


class TokenCreateBody(TokenFields):
    """Body of ``POST /admin/tokens``."""

    provider: str = "flow"


class TokenUpdateBody(TokenFields):
    """Body of ``PUT /admin/tokens/{id}``; what is left out stays."""


class TokenExportBody(_AdminRequest):
    """Body of ``POST /admin/tokens/export``; without ``ids`` all tokens."""

    passphrase: SecretStr
    ids: list[Annotated[int, Field(ge=1, lt=2**63)]] | None = None


class TokenDisableBody(_AdminRequest):
    """Body of ``POST /admin/tokens/{id}/disable``; may be left out."""

    reason: str = ""


class KeyCreateBody(_AdminRequest):
    """Body of ``POST /admin/keys``."""

    name: Annotated[str, Field(min_length=1, max_length=100)]
    max_concurrency: _Concurrency | None = None
    expires_at: Annotated[int, Field(ge=0, le=253_402_300_799)] | None = Field(
        default=None, description="Unix seconds."
    )
    key: SecretStr | None = None
