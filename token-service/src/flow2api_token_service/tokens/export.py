"""Giving tokens away with their secrets, sealed with a passphrase; and opening what was given."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict, Field, SecretStr, TypeAdapter, ValidationError, field_serializer

from flow2api_common.clock import Clock
from flow2api_common.database import Database
from flow2api_common.errors import InvalidArgument
from flow2api_common.logs import get_logger
from flow2api_token_service.secrets.passphrase import open_with_passphrase, seal_with_passphrase
from flow2api_token_service.secrets.vault import PROXY, SECRET, Vault
from flow2api_token_service.tokens.models import TokenRow
from flow2api_token_service.tokens.own_limits import read_limits
from flow2api_token_service.tokens.repository import TokenRepository, token_not_found

log = get_logger(__name__)

_PAGE = 500


class ExportedLimit(BaseModel):
    """A limit of a token for a model."""

    model_config = ConfigDict(extra="ignore")

    upstream_model: str
    requests_per_minute: int | None = Field(default=None, ge=-1, le=2**31 - 1)
    concurrency: int | None = Field(default=None, ge=-1, le=2**31 - 1)


class ExportedToken(BaseModel):
    """A token in an export. What is left out has its default."""

    model_config = ConfigDict(extra="ignore")

    provider: str
    secret: SecretStr
    project_id: str = ""
    project_name: str = ""
    location: str = ""
    remark: str = ""
    image_enabled: bool = True
    video_enabled: bool = True
    image_concurrency: int = Field(default=-1, ge=-1, le=2**31 - 1)
    video_concurrency: int = Field(default=-1, ge=-1, le=2**31 - 1)
    model_limits: list[ExportedLimit] = []
    proxy_url: SecretStr = SecretStr("")

    @field_serializer("secret", "proxy_url", when_used="json")
    def _in_clear(self, secret: SecretStr) -> str:
        return secret.get_secret_value()


_EXPORT = TypeAdapter(list[ExportedToken])


class TokenExporter:
    """The use case behind ExportTokens."""

    def __init__(self, *, database: Database, vault: Vault, clock: Clock) -> None:
        self._database = database
        self._vault = vault
        self._clock = clock

    async def export(self, token_ids: Sequence[int], *, passphrase: str) -> tuple[str, int]:
        """The sealed tokens (none named: all) and their number. Raises InvalidArgument, NotFound."""
        wanted = set(token_ids)
        tokens: dict[int, ExportedToken] = {}
        after_id = 0
        while True:
            async with self._database.transaction(read_only=True) as session:
                rows = await TokenRepository(session).page(after_id=after_id, limit=_PAGE, now=self._clock())
            tokens |= {row.id: self._exported(row) for row in rows if not wanted or row.id in wanted}
            if len(rows) < _PAGE:
                break
            after_id = rows[-1].id
        missing = sorted(wanted - set(tokens))
        if missing:
            raise token_not_found(missing[0])
        sealed = await seal_with_passphrase(_EXPORT.dump_json(list(tokens.values())).decode(), passphrase)
        log.warning("tokens_exported", token_count=len(tokens))
        return sealed, len(tokens)

    def _exported(self, row: TokenRow) -> ExportedToken:
        return ExportedToken(
            provider=row.provider,
            secret=SecretStr(self._vault.open(row.sealed_secret, purpose=SECRET)),
            project_id=row.project_id,
            project_name=row.project_name,
            location=row.location,
            remark=row.remark,
            image_enabled=row.image_enabled,
            video_enabled=row.video_enabled,
            image_concurrency=row.image_concurrency,
            video_concurrency=row.video_concurrency,
            model_limits=[
                ExportedLimit(
                    upstream_model=each.upstream_model, requests_per_minute=each.per_minute, concurrency=each.at_once
                )
                for each in read_limits(row.model_limits)
            ],
            proxy_url=SecretStr(
                self._vault.open(row.sealed_proxy_url, purpose=PROXY) if row.sealed_proxy_url is not None else ""
            ),
        )


async def open_export(sealed: str, passphrase: str) -> list[ExportedToken]:
    """The tokens of an export. Raises InvalidArgument."""
    text = await open_with_passphrase(sealed, passphrase)
    try:
        return _EXPORT.validate_json(text)
    except ValidationError:
        # The cause quotes the secrets.
        raise InvalidArgument.of("sealed", "This export is not complete.") from None
