"""The upstream accounts of a run, and what happens to some of them alone."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import httpx

SERVICE_ACCOUNT: Final = "sandbox-sa-{0}@sandbox-project-{0}.iam.gserviceaccount.com"


@dataclass(frozen=True, slots=True)
class PlannedAccount:
    """One credential.

    ``name`` is its remark in the pool, ``upstream_name`` what the sandbox calls it; ``trouble`` tells people what is
    wrong with it, empty for nothing.
    """

    name: str
    provider: str
    upstream_name: str
    video_limit: int
    location: str = ""
    trouble: str = ""

    def creation(self, control_url: str) -> dict[str, Any]:
        """The body of ``POST /admin/tokens``; a service account gets a new key for it."""
        body: dict[str, Any] = {
            "provider": self.provider,
            "remark": self.name,
            "video_concurrency": self.video_limit,
        }
        match self.provider:
            case "flow":
                return {**body, "st": self.upstream_name}
            case "gemini":
                return {**body, "api_key": self.upstream_name}
        made = httpx.post(f"{control_url}/service-accounts/{self.upstream_name}/keys", json={}, trust_env=False)
        return {**body, "service_account": json.dumps(made.raise_for_status().json()), "location": self.location}


@dataclass(frozen=True, slots=True)
class Mishap:
    """Something that happens to one account upstream; at 0 s it is so before the first video.

    ``path`` and ``body`` are a call of the sandbox's control. With ``is_idle`` it waits until nothing is at work on the
    account, because what an upstream has on a credential that is refused is out of reach with it.
    """

    at_seconds: float
    account: str
    path: str
    body: Mapping[str, Any] = field(default_factory=dict)
    is_idle: bool = False

    def __str__(self) -> str:
        values = ", ".join(f"{name} {value}" for name, value in self.body.items())
        return f"{self.account}: {self.path.strip('/')} ({values})"


def usual_accounts(video_limit: int) -> tuple[PlannedAccount, ...]:
    """Six Flow accounts and three keys of the Gemini API, all alike."""
    flow = [PlannedAccount(f"flow-{n}", "flow", f"sandbox-st-{n}", video_limit) for n in range(1, 7)]
    keys = [PlannedAccount(f"key-{n}", "gemini", f"sandbox-key-{n}", video_limit) for n in range(1, 4)]
    return (*flow, *keys)
