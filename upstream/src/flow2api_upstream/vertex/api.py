"""Where Vertex AI is. Source: docs/upstream/google-official.md, sections 2, 6 and 8."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal
from urllib.parse import quote

from flow2api_upstream.google.advice import advice_of
from flow2api_upstream.google.classify import Scope
from flow2api_upstream.port import Account, FailureClass, UpstreamFailure
from flow2api_upstream.vertex.bearer import VertexBearer

PROVIDER = "vertex"
LOCATION = re.compile(r"[a-z]+(-[a-z]+){0,3}\d{0,2}")
"""What may stand in the name of a host."""

_STABLE = "v1"
_BETA = "v1beta1"
_GLOBAL_HOST = "https://aiplatform.googleapis.com"
_JURISDICTIONS = frozenset({"us", "eu"})
_OPERATION = re.compile(
    r"(?P<model>(?:projects/(?P<project>[\w.:-]+)/locations/(?P<location>[\w-]+)/)?publishers/google/models/[\w.@-]+)"
    r"/operations/[\w.-]+"
)


@dataclass(frozen=True, slots=True)
class VertexApi:
    """A host for each location; ``base_url`` replaces them all when it is set."""

    base_url: str

    @property
    def provider(self) -> str:
        """``vertex``."""
        return PROVIDER

    @property
    def generation_scope(self) -> Scope:
        """A model that is not found may be in another location."""
        return Scope.GENERATION_IN_LOCATION

    def model_url(self, account: Account, model: str, method: str) -> str:
        """Where a method of a model is, in the account's project and location; for an express key in neither."""
        name = f"publishers/google/models/{quote(model, safe='')}:{method}"
        if VertexBearer.read(account.bearer).is_key:
            return f"{self._host('global')}/{_STABLE}/{name}"
        return f"{self._host(account.location)}/{_STABLE}/{self._parent(account)}/{name}"

    def interactions_url(self, account: Account) -> str:
        """Where interactions are. Express keys have none."""
        if VertexBearer.read(account.bearer).is_key:
            raise UpstreamFailure(
                FailureClass.MODEL_NOT_HERE, "Express keys have no interactions.", reason="express_key"
            )
        return f"{self._host(account.location)}/{_BETA}/{self._parent(account)}/interactions"

    def operation_request(self, name: str) -> tuple[Literal["GET", "POST"], str, Mapping[str, object] | None]:
        """An operation is read by a method of its model, in its own location."""
        match = _OPERATION.fullmatch(name)
        if match is None:
            raise UpstreamFailure(FailureClass.BAD_INPUT, "This is no operation of Vertex.", reason="operation")
        url = f"{self._host(match['location'] or 'global')}/{_STABLE}/{match['model']}:fetchPredictOperation"
        return "POST", url, {"operationName": name}

    def credentials(self, account: Account) -> dict[str, str]:
        """The access token or the express key."""
        return VertexBearer.read(account.bearer).headers()

    def _parent(self, account: Account) -> str:
        if not account.project_id:
            raise UpstreamFailure(
                FailureClass.AUTH,
                "The account has no project.",
                reason="no_project",
                advice=advice_of("no_project"),
            )
        return f"projects/{quote(account.project_id, safe=':')}/locations/{account.location}"

    def _host(self, location: str) -> str:
        if LOCATION.fullmatch(location) is None:
            raise UpstreamFailure(FailureClass.BAD_INPUT, "This is no location of Vertex.", reason="location")
        if self.base_url:
            return self.base_url
        if location == "global":
            return _GLOBAL_HOST
        if location in _JURISDICTIONS:
            return f"https://aiplatform.{location}.rep.googleapis.com"
        return f"https://{location}-aiplatform.googleapis.com"
