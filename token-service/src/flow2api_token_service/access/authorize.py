"""Whether a generation may begin in the name of an API key."""

from __future__ import annotations

from dataclasses import dataclass

from flow2api_common.errors import InvalidArgument, PermissionDenied
from flow2api_token_service.access.api_keys import ApiKeys
from flow2api_token_service.access.key_policy import may_use
from flow2api_token_service.access.models import UNLIMITED, ApiKeyRow
from flow2api_token_service.access.request_limit import Quota, RequestLimit

_MAX_ID_LENGTH = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerationWish:
    """What is to begin. ``served_model_id`` is what the model stands for, when it is an alias."""

    api_key_id: str
    model_id: str
    served_model_id: str
    generation_id: str


@dataclass(frozen=True, slots=True)
class Authorized:
    """The key that lets it begin, and what it has left of its minute, if that is limited."""

    api_key: ApiKeyRow
    quota: Quota | None


class Authorizer:
    """The use case behind AuthorizeGeneration."""

    def __init__(self, *, api_keys: ApiKeys, limit: RequestLimit) -> None:
        self._api_keys = api_keys
        self._limit = limit

    async def authorize(self, wish: GenerationWish) -> Authorized:
        """Let it begin, and count it. What is refused is not counted.

        Raises InvalidArgument, Unauthenticated, PermissionDenied MODEL_NOT_ALLOWED, CapacityError REQUESTS_PER_MINUTE
        and DependencyUnavailable.
        """
        for field in ("api_key_id", "model_id", "generation_id"):
            if not 0 < len(getattr(wish, field)) <= _MAX_ID_LENGTH:
                raise InvalidArgument.of(field, f"An id of at most {_MAX_ID_LENGTH} characters is required.")
        row = await self._api_keys.live(wish.api_key_id)
        if not may_use(row.allowed_models, (wish.model_id, wish.served_model_id)):
            raise PermissionDenied(
                f"This API key may not use the model {wish.model_id[:100]!r}.",
                reason="MODEL_NOT_ALLOWED",
                metadata={"model_id": wish.model_id[:100]},
            )
        if row.requests_per_minute == UNLIMITED:
            return Authorized(row, None)
        quota = await self._limit.count(row.id, limit=row.requests_per_minute, generation_id=wish.generation_id)
        return Authorized(row, quota)
