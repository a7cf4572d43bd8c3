"""Requests of administrators as requests of the token-service."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import orjson
from google.protobuf.field_mask_pb2 import FieldMask

from flow2api_common.errors import InvalidArgument
from flow2api_gateway.admin.schemas import TokenCreateBody, TokenFields, TokenUpdateBody
from flow2api_proto.tokens.v1 import token_pb2, token_service_pb2

SECRET_FIELDS: Final[Mapping[str, tuple[str, ...]]] = {
    "flow": ("st",),
    "gemini": ("api_key",),
    "vertex": ("service_account", "api_key"),
}
"""Which fields may hold the secret of which provider; the first is asked for when there is none."""

_ALL_SECRET_FIELDS: Final = tuple(dict.fromkeys(name for names in SECRET_FIELDS.values() for name in names))

_PLAIN_FIELDS: Final = (
    "project_id",
    "project_name",
    "remark",
    "image_enabled",
    "video_enabled",
    "image_concurrency",
    "video_concurrency",
)


def create_token_request(body: TokenCreateBody) -> token_service_pb2.CreateTokenRequest:
    """Raises InvalidArgument on ``provider``, or on the secret's field when it is missing."""
    fields = SECRET_FIELDS.get(body.provider)
    if fields is None:
        raise InvalidArgument.of("provider", f"Unknown provider. Known are: {', '.join(SECRET_FIELDS)}.")
    secrets = [secret for name in fields if (secret := _secret(body, name))]
    if not secrets:
        raise InvalidArgument.of(fields[0], f"Missing required parameter: '{fields[0]}'.", reason="MISSING_PARAMETER")
    if len(secrets) > 1:
        raise InvalidArgument.of(fields[1], f"Give either '{fields[0]}' or '{fields[1]}'.")
    return token_service_pb2.CreateTokenRequest(
        provider=body.provider,
        secret=secrets[0],
        proxy_url=_proxy_url(body) or "",
        location=(body.location or "").strip(),
        **_given(body),
    )


def update_token_request(token_id: int, body: TokenUpdateBody) -> token_service_pb2.UpdateTokenRequest:
    """Changes what the body names; nulls and an empty secret change nothing, an empty ``proxy_url`` takes it away.

    Raises InvalidArgument when nothing is named.
    """
    fields = _given(body)
    secret = next((text for name in _ALL_SECRET_FIELDS if (text := _secret(body, name))), "")
    proxy_url = _proxy_url(body)
    paths = [*fields, *(["secret"] if secret else []), *(["proxy_url"] if proxy_url is not None else [])]
    if not paths:
        raise InvalidArgument("Nothing to change was given.", reason="MISSING_PARAMETER")
    return token_service_pb2.UpdateTokenRequest(
        token=token_pb2.Token(token_id=token_id, **fields),
        update_mask=FieldMask(paths=paths),
        secret=secret,
        proxy_url=proxy_url or "",
    )


def secret_fields_by_client_name(body: TokenFields) -> Mapping[str, str]:
    """The client's name of ``secret``, for errors."""
    given = [name for name in _ALL_SECRET_FIELDS if _secret(body, name)]
    return {"secret": given[0] if given else "st", "token": "token"}


def secret_field_of(provider: str, secret: str) -> str:
    """The field that a secret of a provider is given in: documents in the first one that takes them."""
    fields = SECRET_FIELDS.get(provider, ("secret",))
    return fields[0] if secret.startswith("{") or len(fields) == 1 else fields[-1]


def _given(body: TokenFields) -> dict[str, Any]:
    fields = {name: value for name in _PLAIN_FIELDS if (value := getattr(body, name)) is not None}
    if body.model_limits is not None:
        fields["model_limits"] = [
            token_pb2.ModelLimit(
                upstream_model=model, requests_per_minute=limit.requests_per_minute, concurrency=limit.concurrency
            )
            for model, limit in body.model_limits.items()
        ]
    return fields


def _proxy_url(body: TokenFields) -> str | None:
    return None if body.proxy_url is None else body.proxy_url.get_secret_value().strip()


def _secret(body: TokenFields, name: str) -> str:
    if name == "service_account":
        account = body.service_account
        return orjson.dumps(account).decode() if isinstance(account, dict) else (account or "").strip()
    secret = body.st if name == "st" else body.api_key
    return secret.get_secret_value().strip() if secret is not None else ""
