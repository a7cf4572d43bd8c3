"""Everything that the sandbox remembers while it runs."""

import asyncio
import secrets
import uuid
from collections.abc import Iterator
from contextlib import contextmanager

from flow2api_sandbox.accounts import AccessToken, Account, ApiKey, KeyService, SessionState, Tier
from flow2api_sandbox.assets import Concatenation, FlowAsset
from flow2api_sandbox.bill import Bill, Charge
from flow2api_sandbox.clock import Clock
from flow2api_sandbox.credentials import Credential, over
from flow2api_sandbox.errors import ApiError
from flow2api_sandbox.faults import STUCK_SECONDS, FaultBook
from flow2api_sandbox.gemini.store import GeminiStore
from flow2api_sandbox.identity.accounts import User
from flow2api_sandbox.identity.store import IdentityStore
from flow2api_sandbox.ledger import ConcurrencyWatch, GenerationKind, Ledger
from flow2api_sandbox.media.library import MediaLibrary
from flow2api_sandbox.media.recipes import ClipRecipe, Recipe
from flow2api_sandbox.media.served import SentFile
from flow2api_sandbox.projects import AvailabilityBook, Project
from flow2api_sandbox.quotas import QuotaBook
from flow2api_sandbox.settings import SandboxSettings
from flow2api_sandbox.storage.store import ObjectStore
from flow2api_sandbox.veo.store import VeoStore

_TIER_CYCLE = (Tier.ONE, Tier.TWO, Tier.NOT_PAID)


class World:
    """The state behind all calls. One per running sandbox; used from one event loop."""

    def __init__(self, settings: SandboxSettings, *, clock: Clock | None = None) -> None:
        self.settings = settings
        self.clock = clock or Clock()
        self.library = MediaLibrary(picture_cache_bytes=settings.picture_cache_bytes)
        self.faults = FaultBook()
        self.ledger = Ledger()
        self.accounts: dict[str, Account] = {}
        self.api_keys: dict[str, ApiKey] = {}
        self.assets: dict[str, FlowAsset] = {}
        self.operations: dict[str, FlowAsset] = {}
        self.concatenations: dict[str, Concatenation] = {}
        self.gemini = GeminiStore()
        self.clips_at_least_bytes = 0
        self.identity = IdentityStore(self.clock, lifetime_seconds=settings.access_token_lifetime.total_seconds())
        self.projects: dict[str, Project] = {}
        self.availability = AvailabilityBook()
        self.quotas = QuotaBook()
        self.bill = Bill()
        self.storage = ObjectStore()
        self.veo = VeoStore()
        self.url_secret = secrets.token_bytes(32)
        self._by_session_token: dict[str, Account] = {}
        self._access_tokens: dict[str, AccessToken] = {}
        self._current_bearers: dict[str, str] = {}
        self._held: set[asyncio.BaseTransport] = set()
        self._seed()

    async def sent_file(self, recipe: Recipe) -> SentFile:
        """The file as it is downloaded; clips are padded to the size that was wished for."""
        content = await self.library.content(recipe)
        if isinstance(recipe, ClipRecipe):
            return SentFile.padded(content, self.clips_at_least_bytes)
        return SentFile.plain(content)

    def add_account(
        self,
        session_token: str,
        *,
        email: str | None = None,
        tier: str = Tier.ONE,
        credits: int | None = None,  # noqa: A002 - the word of the wire
    ) -> Account:
        """Make an account known; it has no project yet. Raises ValueError when the session token is taken."""
        if session_token in self._by_session_token:
            raise ValueError(f"there is an account with session token {session_token!r} already")
        account = Account(
            name=session_token,
            session_token=session_token,
            email=email or f"{session_token}@sandbox.example",
            tier_name=str(tier),
            credits=self.settings.seed_credits if credits is None else credits,
            rotate_session_token=self.settings.rotate_session_tokens,
        )
        self.accounts[account.name] = account
        self._by_session_token[session_token] = account
        return account

    def add_api_key(self, key: str) -> ApiKey:
        """Make an API key known."""
        return self.api_keys.setdefault(key, ApiKey(name=key))

    def project(self, project_id: str) -> Project:
        """A project of Google's cloud; it is made when it is not known."""
        return self.projects.setdefault(project_id, Project(project_id))

    def credentials(self) -> Iterator[Credential]:
        """All that call the official APIs."""
        yield from self.api_keys.values()
        yield from self.identity.principals()

    def account_of_session(self, session_token: str) -> Account | None:
        """Whose cookie this is."""
        return self._by_session_token.get(session_token)

    def renew_session_token(self, account: Account) -> str:
        """A new cookie value for the account; older ones go on working, as upstream."""
        account.session_token = f"{account.name}.{secrets.token_urlsafe(24)}"
        self._by_session_token[account.session_token] = account
        return account.session_token

    def forget_session_token(self, session_token: str) -> None:
        """Make one cookie value worthless; others of the account go on working."""
        self._by_session_token.pop(session_token, None)

    def access_token(self, account: Account) -> AccessToken:
        """The bearer in use while it lives for some minutes more, else a new one."""
        now = self.clock.now()
        current = self._access_tokens.get(self._current_bearers.get(account.name, ""))
        if current is not None and current.expires_at - now > self.settings.access_token_reuse.total_seconds():
            return current
        lifetime = self.settings.access_token_lifetime.total_seconds()
        token = AccessToken(f"ya29.sandbox-{secrets.token_urlsafe(32)}", account, now + lifetime)
        self._access_tokens[token.value] = token
        self._current_bearers[account.name] = token.value
        return token

    def account_of_bearer(self, value: str) -> Account | None:
        """Whose access token this is; ``None`` when unknown, expired or of a dead session."""
        token = self._access_tokens.get(value)
        if token is None or token.expires_at <= self.clock.now():
            return None
        return token.account if token.account.session_state is SessionState.OK else None

    def expire_access_tokens(self, account_name: str | None = None) -> int:
        """Make bearers invalid at once, of one account (of Flow or a service account) or of all; answers how many."""
        gone = [
            value
            for value, token in self._access_tokens.items()
            if account_name is None or token.account.name == account_name
        ]
        for value in gone:
            del self._access_tokens[value]
        return len(gone) + self.identity.expire_bearers(account_name)

    def settle(self, account: Account) -> None:
        """Bring clips, refunds and the concurrency watch of an account up to now."""
        now = self.clock.now()
        running = []
        for clip in account.running_clips:
            course = clip.course
            is_stuck = course is not None and now >= course.ready_at + STUCK_SECONDS
            if course is None or not (course.is_over(now) or is_stuck):
                running.append(clip)
                continue
            account.watch.leave(GenerationKind.VIDEO)
            if not course.is_over(now):
                continue
            course.settled = True
            if course.is_refunded():
                account.credits += course.price
                self.ledger.count_refund(clip.prompt, route=course.route, account=account.name, price=course.price)
        account.running_clips = running

    def settle_credential(self, credential: Credential) -> None:
        """Bring the works, refunds and the concurrency watch of a key, service account or user up to now."""
        now = self.clock.now()
        ended, credential.running = over(credential.running, now)
        for work in ended:
            credential.watch.leave(work.kind)
            refund = work.refund(now) if work.is_over(now) else None
            if refund is not None:
                self.bill.refund(refund)
                self.ledger.count_refund(work.prompt, route=work.route, account=credential.name, price=refund.micros)

    def charge_money(self, charge: Charge, *, prompt: str, route: str) -> None:
        """Put a charge on the bill."""
        self.bill.charge(charge)
        self.ledger.count_charge(prompt, route=route, account=charge.credential, price=charge.micros)

    def charge(self, account: Account, price: int, *, prompt: str, route: str) -> None:
        """Take credits at acceptance. Raises ApiError 429 when there are too few."""
        if account.credits < price:
            raise ApiError(429, "Insufficient credits for this generation.")
        account.credits -= price
        self.ledger.count_charge(prompt, route=route, account=account.name, price=price)

    def remember(self, asset: FlowAsset) -> FlowAsset:
        """Keep a medium under its name, and a clip under its operation name too."""
        self.assets[asset.name] = asset
        if asset.course is not None:
            self.operations[asset.course.operation_name] = asset
        return asset

    @contextmanager
    def hold(self, transport: asyncio.BaseTransport) -> Iterator[None]:
        """Note a connection that waits for its client to leave, so that ``stop`` can cut it."""
        self._held.add(transport)
        try:
            yield
        finally:
            self._held.discard(transport)

    def stop(self) -> None:
        """End waits and cut held connections; the sandbox is going down."""
        self.clock.stop()
        for transport in list(self._held):
            transport.close()

    def reset_ledger(self) -> None:
        """Count from zero again; what runs now stays counted as running."""
        self.ledger = Ledger()
        self.bill = Bill()
        self.quotas.reset_use()
        for watch in self.watches().values():
            watch.highest = watch.running.copy()

    def watches(self) -> dict[str, ConcurrencyWatch]:
        """The concurrency watches of all accounts and credentials."""
        flow = {account.name: account.watch for account in self.accounts.values()}
        return flow | {credential.name: credential.watch for credential in self.credentials()}

    def _seed(self) -> None:
        for index in range(self.settings.seed_accounts):
            self.add_account(f"sandbox-st-{index + 1}", tier=_TIER_CYCLE[index % len(_TIER_CYCLE)])
        for index in range(self.settings.seed_api_keys):
            self.add_api_key(f"sandbox-key-{index + 1}")
        for index in range(self.settings.seed_service_accounts):
            self._seed_project(index + 1)

    def _seed_project(self, number: int) -> None:
        """A project with a service account, an express key, a user and a bucket."""
        project = self.project(f"sandbox-project-{number}").project_id
        email = f"sandbox-sa-{number}@{project}.iam.gserviceaccount.com"
        self.identity.add_service_account(email, project=project)
        self.identity.machine_account = self.identity.machine_account or email
        express = self.add_api_key(f"sandbox-express-{number}")
        express.service, express.own_project = KeyService.VERTEX, project
        self.identity.add_user(
            User(
                name=f"sandbox-user-{number}@sandbox.example",
                client_id=f"sandbox-client-{number}.apps.googleusercontent.com",
                client_secret=f"sandbox-client-secret-{number}",
                refresh_token=f"sandbox-refresh-token-{number}",
                projects={project},
            )
        )
        self.storage.add_bucket(f"sandbox-bucket-{number}", project=project)


def new_id() -> str:
    """A UUID as the upstream uses for media, projects and workflows."""
    return str(uuid.uuid4())
