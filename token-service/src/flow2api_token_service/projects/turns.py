"""Which of its projects a token works in next."""

from __future__ import annotations

import random
from collections import OrderedDict
from dataclasses import replace

from flow2api_token_service.credentials.credential import Credential

_REMEMBERED_TOKENS = 10_000


class ProjectTurns:
    """Round robin per token, in this process alone: replicas begin anywhere, so that together they are even, too."""

    def __init__(self, *, projects_per_token: int) -> None:
        self._is_on = projects_per_token > 1
        self._turns: OrderedDict[int, int] = OrderedDict()

    def next(self, credential: Credential) -> Credential:
        """The credential in the project whose turn it is; unchanged where projects do not take turns."""
        if not self._is_on or len(credential.project_ids) < 2:
            return credential
        turn = self._turns.pop(credential.token_id, None)
        turn = random.randrange(1 << 16) if turn is None else turn + 1  # noqa: S311 - hides nothing
        self._turns[credential.token_id] = turn
        if len(self._turns) > _REMEMBERED_TOKENS:
            self._turns.popitem(last=False)
        return replace(credential, project_id=credential.project_ids[turn % len(credential.project_ids)])
