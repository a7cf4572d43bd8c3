"""Where the Gemini Developer API is. Source: docs/upstream/google-official.md, sections 2, 3 and 8."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal
from urllib.parse import quote

from flow2api_upstream.google.classify import Scope
from flow2api_upstream.port import Account, FailureClass, UpstreamFailure

PROVIDER = "gemini"
_VERSION = "v1beta"
_OPERATION = re.compile(r"models/[\w.@-]+/operations/[\w.-]+")


@dataclass(frozen=True, slots=True)
class GeminiApi:
    """One host, API keys. ``base_url`` has no slash at its end."""

    base_url: str

    @property
    def provider(self) -> str:
        """``gemini``."""
        return PROVIDER

    @property
    def generation_scope(self) -> Scope:
        """A model that is not found is gone: there is one place alone to find it."""
        return Scope.GENERATION

    def model_url(self, account: Account, model: str, method: str) -> str:  # noqa: ARG002 -- of the API, not of a project
        """Where a method of a model is."""
        return self.url(f"/models/{quote(model, safe='')}:{method}")

    def interactions_url(self, account: Account) -> str:  # noqa: ARG002 -- of the API, not of a project
        """Where interactions are."""
        return self.url("/interactions")

    def operation_request(self, name: str) -> tuple[Literal["GET", "POST"], str, Mapping[str, object] | None]:
        """An operation is read by its name."""
        if _OPERATION.fullmatch(name) is None:
            raise UpstreamFailure(FailureClass.BAD_INPUT, "This is no operation of the Gemini API.", reason="operation")
        return "GET", self.url(f"/{name}"), None

    def credentials(self, account: Account) -> dict[str, str]:
        """The key, in a header and never in the query, which ends up in logs."""
        return {"x-goog-api-key": account.bearer}

    def url(self, path: str) -> str:
        """Of a path behind the version."""
        return f"{self.base_url}/{_VERSION}{path}"

    @property
    def upload_url(self) -> str:
        """Where uploads begin."""
        return f"{self.base_url}/upload/{_VERSION}/files"
