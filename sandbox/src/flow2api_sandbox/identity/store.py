"""All service accounts and users, and the access tokens that they bought."""

import itertools
import secrets
import time
from collections.abc import Iterator
from dataclasses import dataclass

from flow2api_sandbox.clock import Clock
from flow2api_sandbox.identity.accounts import (
    AccountState,
    Principal,
    ServiceAccount,
    SigningKey,
    User,
    generated_private_key,
    new_key_id,
    private_key_pem,
)


@dataclass(frozen=True, slots=True)
class Bearer:
    """An access token: whose, for what, until when (seconds of the sandbox's clock)."""

    value: str
    principal: Principal
    scopes: frozenset[str]
    expires_at: float


class IdentityStore:
    """The accounts of all projects. Used from one event loop, but for ``create_key``."""

    def __init__(self, clock: Clock, *, lifetime_seconds: float) -> None:
        self.service_accounts: dict[str, ServiceAccount] = {}
        self.users: dict[str, User] = {}
        self.machine_account: str | None = None
        self.clock_skew_seconds = 0.0
        self._clock = clock
        self._lifetime_seconds = lifetime_seconds
        self._bearers: dict[str, Bearer] = {}
        self._key_numbers = itertools.count()

    def judged_time(self) -> float:
        """The time by which assertions are judged: the machine's, wrong by ``clock_skew_seconds``.

        Not the sandbox's clock: tests move that, and the clients who sign live in the machine's time.
        """
        return time.time() + self.clock_skew_seconds

    def add_service_account(self, email: str, *, project: str) -> ServiceAccount:
        """Make a service account known, without keys, with its role in its own project."""
        account = ServiceAccount(name=email, project=project, projects={project})
        return self.service_accounts.setdefault(email, account)

    def add_user(self, user: User) -> User:
        """Make a user known, in place of one with the same refresh token."""
        self.users[user.refresh_token] = user
        return user

    def create_key(self, account: ServiceAccount, *, token_uri: str) -> dict[str, str]:
        """A new key as the file that Google hands out once. Takes a tenth of a second."""
        private_key = generated_private_key(next(self._key_numbers))
        key = SigningKey(new_key_id(), private_key.public_key())
        account.keys[key.key_id] = key
        return {
            "type": "service_account",
            "project_id": account.project,
            "private_key_id": key.key_id,
            "private_key": private_key_pem(private_key),
            "client_email": account.email,
            "client_id": str(int.from_bytes(account.email.encode()[:8], "big")),
            "auth_uri": "https://accounts.google.com/o/oauth2/auth",
            "token_uri": token_uri,
            "universe_domain": "googleapis.com",
        }

    def principals(self) -> Iterator[Principal]:
        """Everybody."""
        yield from self.service_accounts.values()
        yield from self.users.values()

    def issue(self, principal: Principal, scopes: frozenset[str]) -> tuple[Bearer, int]:
        """A new access token and its lifetime in seconds."""
        now = self._clock.now()
        self._bearers = {value: bearer for value, bearer in self._bearers.items() if bearer.expires_at > now}
        bearer = Bearer(f"ya29.c.sandbox-{secrets.token_urlsafe(48)}", principal, scopes, now + self._lifetime_seconds)
        self._bearers[bearer.value] = bearer
        return bearer, max(1, int(self._lifetime_seconds) - 1)

    def bearer(self, value: str) -> Bearer | None:
        """A token that is good now; those of disabled and deleted accounts are not."""
        bearer = self._bearers.get(value)
        if bearer is None or bearer.expires_at <= self._clock.now():
            return None
        return bearer if bearer.principal.state is AccountState.OK else None

    def expire_bearers(self, name: str | None) -> int:
        """Make tokens invalid at once, of one account or all; answers how many."""
        gone = [value for value, bearer in self._bearers.items() if name in (None, bearer.principal.name)]
        for value in gone:
            del self._bearers[value]
        return len(gone)
