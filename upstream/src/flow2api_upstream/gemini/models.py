"""The cheapest proof that a key works. Source: docs/upstream/google-official.md, section 4."""

from flow2api_upstream.gemini.api import GeminiApi
from flow2api_upstream.google.calls import GoogleCalls
from flow2api_upstream.google.classify import Scope
from flow2api_upstream.port import Account, AccountState, AccountTier


async def probe(calls: GoogleCalls, api: GeminiApi, account: Account) -> AccountState:
    """List one model. The API has neither tiers nor credits to read."""
    await calls.call(account, "GET", api.url("/models?pageSize=1"), scope=Scope.CONTROL)
    return AccountState(tier=AccountTier.UNSPECIFIED, credits=None)
