"""Credits and plan of an account. Source: docs/upstream/flow.md, section 4."""

from collections.abc import Mapping
from types import MappingProxyType

from flow2api_upstream.flow.calls import FlowCalls
from flow2api_upstream.flow.classify import Scope
from flow2api_upstream.json_reading import int_at, text_at
from flow2api_upstream.port import Account, AccountState, AccountTier

TIERS: Mapping[str, AccountTier] = MappingProxyType(
    {
        "PAYGATE_TIER_NOT_PAID": AccountTier.NOT_PAID,
        "PAYGATE_TIER_ONE": AccountTier.ONE,
        "PAYGATE_TIER_TWO": AccountTier.TWO,
    }
)


async def probe(calls: FlowCalls, account: Account) -> AccountState:
    """Read tier and credits; costs nothing. An unknown tier counts as unpaid, missing credits as none."""
    answer = await calls.api(account, "GET", "/credits", scope=Scope.CONTROL)
    return AccountState(
        tier=TIERS.get(text_at(answer, "userPaygateTier"), AccountTier.NOT_PAID),
        credits=int_at(answer, "credits") or 0,
    )
