"""What is shown to the upstream in the name of a token."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from flow2api_upstream.port import Account, AccountTier, Secret

SOON = timedelta(minutes=5)
"""A bearer that has less than this left is renewed when it is handed out."""

USABLE = timedelta(minutes=2)
"""A bearer that has this left is handed out while it is renewed; one with less is waited for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Credential:
    """A token's secrets, opened, with what belongs to them. Never logged; the secrets are left out of its repr.

    ``version`` counts the refreshes, ``revision`` all changes of the token. ``refresh_time`` is when the background
    renews the bearer; with a failed attempt it moves into the future. ``own_proxy_url`` and ``kept_proxy_id`` belong to
    the token; which proxy is used is filled in by `ProxyRouter`: ``proxy_url``, and ``proxy_id`` if it is a shared one.
    ``project_id`` is where to work, one of the active ``project_ids``.
    """

    token_id: int
    provider: str
    secret: Secret
    bearer: str = field(repr=False)
    expire_time: datetime | None
    refresh_time: datetime | None
    version: int
    revision: int
    tier: AccountTier
    project_id: str
    project_ids: tuple[str, ...]
    location: str
    own_proxy_url: str = field(repr=False)
    kept_proxy_id: int
    session_token: str = field(repr=False)
    proxy_id: int = 0
    proxy_url: str = field(default="", repr=False)

    def account(self) -> Account:
        """The same, as providers want it."""
        return Account(
            token_id=self.token_id,
            bearer=self.bearer,
            session_token=self.session_token,
            project_id=self.project_id,
            location=self.location,
            tier=self.tier,
            proxy_url=self.proxy_url,
            proxy_id=self.proxy_id,
        )

    def is_valid(self, now: datetime) -> bool:
        """Whether the upstream would take the bearer, as far as time tells."""
        return bool(self.bearer) and (self.expire_time is None or now < self.expire_time)

    def is_usable(self, now: datetime) -> bool:
        """Whether the bearer lasts for a generation."""
        return bool(self.bearer) and (self.expire_time is None or self.expire_time - now > USABLE)

    def rests_until(self, now: datetime) -> datetime | None:
        """Until when nobody tries to renew the bearer, although it has ended, as that has failed lately."""
        if self.is_valid(now) or self.refresh_time is None or self.refresh_time <= now:
            return None
        return self.refresh_time

    def is_due(self, now: datetime) -> bool:
        """Whether the bearer is to be renewed when it is used.

        A bearer that never lasts as long as `SOON` is not renewed at every use, but from its ``refresh_time`` on.
        """
        if not self.is_valid(now):
            return True
        if self.expire_time is None or self.expire_time - now > SOON:
            return False
        return self.refresh_time is None or self.refresh_time <= now
