"""Adding many tokens: each is proved and has a result of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from flow2api_common.errors import Conflict, Flow2APIError
from flow2api_token_service.tokens.create import NewToken, TokenCreator

_CONCURRENCY = 4
"""Tokens that are proved upstream at the same time."""


class ImportStatus(StrEnum):
    """What became of a token; the names are those of flow2api.tokens.v1.ImportStatus."""

    ADDED = "added"
    EXISTS = "exists"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportResult:
    """The same with the token that was added or is known (0: none), and why it was not added."""

    status: ImportStatus
    token_id: int = 0
    reason: str = ""
    message: str = ""


class TokenImporter:
    """The use case behind ImportTokens."""

    def __init__(self, *, creator: TokenCreator) -> None:
        self._creator = creator

    async def add_all(self, tokens: Sequence[NewToken | Flow2APIError], *, actor: str) -> list[ImportResult]:
        """One result per token, in order; an error in a token's place is its result.

        Cancelling leaves those that were added; repeating finds them.
        """
        slots = asyncio.Semaphore(_CONCURRENCY)
        seen: set[tuple[str, str, str, str]] = set()
        tasks: list[asyncio.Task[ImportResult] | ImportResult] = []
        async with asyncio.TaskGroup() as group:
            for at, token in enumerate(tokens):
                if isinstance(token, Flow2APIError):
                    tasks.append(_failed(token))
                elif (secret := _identity(token)) in seen:
                    tasks.append(ImportResult(status=ImportStatus.EXISTS, reason="TOKEN_EXISTS", message=_REPEATED))
                else:
                    seen.add(secret)
                    tasks.append(group.create_task(self._add(token, slots, actor), name=f"import-{at}"))
        return [task if isinstance(task, ImportResult) else task.result() for task in tasks]

    async def _add(self, token: NewToken, slots: asyncio.Semaphore, actor: str) -> ImportResult:
        async with slots:
            try:
                row = await self._creator.create(token, actor=actor)
            except Conflict as exc:
                token_id = int(exc.metadata.get("token_id", "0"))
                message = exc.message
                return ImportResult(status=ImportStatus.EXISTS, token_id=token_id, reason=exc.reason, message=message)
            except Flow2APIError as exc:
                return _failed(exc)
        return ImportResult(status=ImportStatus.ADDED, token_id=row.id)


_REPEATED = "This secret stands earlier in the import."


def _identity(token: NewToken) -> tuple[str, str, str, str]:
    """One secret may work in several locations, where its provider has locations."""
    project_id = token.project_id if token.location else ""
    return token.provider, token.secret.value, token.location, project_id


def _failed(error: Flow2APIError) -> ImportResult:
    return ImportResult(status=ImportStatus.FAILED, reason=error.reason, message=error.message)
