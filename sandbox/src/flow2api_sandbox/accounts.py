"""The people whom the sandbox knows: Flow accounts with sessions and credits, and API keys."""

import uuid
from dataclasses import dataclass, field
from enum import StrEnum

from flow2api_sandbox.assets import FlowAsset
from flow2api_sandbox.credentials import Credential
from flow2api_sandbox.ledger import ConcurrencyWatch


class Tier(StrEnum):
    """Plans of Flow. Source: docs/upstream/flow.md, section 4."""

    NOT_PAID = "PAYGATE_TIER_NOT_PAID"
    ONE = "PAYGATE_TIER_ONE"
    TWO = "PAYGATE_TIER_TWO"

    @property
    def rank(self) -> int:
        """0 for free, 1 for Pro, 2 for Ultra."""
        return list(Tier).index(self)


SKUS = {Tier.NOT_PAID: "G1_TIER0", Tier.ONE: "G1_TIER1", Tier.TWO: "G1_TIER2"}


class SessionState(StrEnum):
    """What ``auth/session`` answers for an account. Source: docs/upstream/flow.md, section 2."""

    OK = "ok"
    SIGNED_OUT = "signed_out"
    REFRESH_NEEDED = "refresh_needed"
    NO_ACCESS_TOKEN = "no_access_token"  # noqa: S105 - the name of a state
    REFUSED = "refused"
    LOGIN_PAGE = "login_page"
    HTML = "html"


class KeyState(StrEnum):
    """What an API key is good for. Source: docs/upstream/google-official.md, sections 3 and 10."""

    OK = "ok"
    DELETED = "deleted"
    """Like a key that never was."""
    SERVICE_DISABLED = "service_disabled"
    BLOCKED = "blocked"
    REFERRER_BLOCKED = "referrer_blocked"
    SUSPENDED = "suspended"
    BILLING_DISABLED = "billing_disabled"
    LOCATION_UNSUPPORTED = "location_unsupported"


@dataclass(slots=True)
class Account:
    """One Flow account. ``name`` is its first session token and stays when the token is renewed."""

    name: str
    session_token: str
    email: str
    tier_name: str = Tier.ONE.value
    credits: int = 0
    session_state: SessionState = SessionState.OK
    verification_required: bool = False
    rotate_session_token: bool = False
    projects: dict[str, str] = field(default_factory=dict)
    running_clips: list[FlowAsset] = field(default_factory=list)
    watch: ConcurrencyWatch = field(default_factory=ConcurrencyWatch)

    @property
    def tier(self) -> Tier:
        """The plan; an unknown name counts as not paid."""
        try:
            return Tier(self.tier_name)
        except ValueError:
            return Tier.NOT_PAID

    def add_project(self, title: str) -> str:
        """A new project's id."""
        project_id = str(uuid.uuid4())
        self.projects[project_id] = title
        return project_id


class KeyService(StrEnum):
    """Which API a key is made for: the Gemini API, or Vertex in express mode."""

    GEMINI = "gemini"
    VERTEX = "vertex"


@dataclass(slots=True, kw_only=True)
class ApiKey(Credential):
    """One API key; ``name`` is the key itself. A key without a project is a project of its own."""

    state: KeyState = KeyState.OK
    service: KeyService = KeyService.GEMINI
    own_project: str | None = None

    @property
    def project(self) -> str:
        """The project that is charged, and that quotas are counted against."""
        return self.own_project or self.name


@dataclass(frozen=True, slots=True)
class AccessToken:
    """A bearer of one account and its end in seconds since the epoch."""

    value: str
    account: Account
    expires_at: float
