"""The proof that an account may work in its project and location, by a call that costs nothing.

``countTokens`` asks for the same API, role and billing as a generation does and is free of charge. Source:
https://cloud.google.com/vertex-ai/generative-ai/docs/model-reference/count-tokens
"""

from flow2api_upstream.google.calls import GoogleCalls
from flow2api_upstream.google.classify import Scope
from flow2api_upstream.port import Account, AccountState, AccountTier, FailureClass, UpstreamFailure

_BODY = {"contents": [{"role": "user", "parts": [{"text": "kite"}]}]}


async def probe(calls: GoogleCalls, account: Account) -> AccountState:
    """Count the tokens of a word. A location without this very model proves the account all the same: what a location
    lacks is found out by model, and the token then rests for that model alone."""
    url = calls.api.model_url(account, calls.settings.vertex_probe_model, "countTokens")
    try:
        await calls.call(account, "POST", url, _BODY, scope=Scope.GENERATION_IN_LOCATION)
    except UpstreamFailure as failure:
        if failure.failure_class is not FailureClass.MODEL_NOT_HERE:
            raise
    return AccountState(tier=AccountTier.UNSPECIFIED, credits=None)
