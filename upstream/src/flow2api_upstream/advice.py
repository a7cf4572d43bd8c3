"""What to do about a token that cannot work, by its provider: for operators, never for clients."""

from flow2api_upstream.gemini import api as gemini_api
from flow2api_upstream.google import advice as google
from flow2api_upstream.vertex import api as vertex_api

_OF_GOOGLE = frozenset({gemini_api.PROVIDER, vertex_api.PROVIDER})


def advice_for(provider: str, word: str) -> str:
    """What the owner of a token has to do about the reason of its state or rest; empty where nothing can be said."""
    return google.advice_of(word) if provider in _OF_GOOGLE else ""


def final_reason(provider: str, upstream_reason: str) -> str:
    """The reason that puts a token out of use until its owner has done something; empty for any other."""
    return google.final_word(upstream_reason) if provider in _OF_GOOGLE else ""
