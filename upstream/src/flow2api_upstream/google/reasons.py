"""Google's words for why, and what they mean. Unknown ones never break anything.

Source: docs/upstream/google-official.md, sections 5, 6 and 10.
"""

import re
from collections.abc import Mapping
from types import MappingProxyType

from flow2api_upstream.port import FailureClass

BLOCK_REASONS: Mapping[str, str] = MappingProxyType(
    {
        "SAFETY": "The prompt or an input picture was judged unsafe.",
        "BLOCKLIST": "The prompt has words that are not allowed.",
        "PROHIBITED_CONTENT": "The prompt or an input picture is prohibited content.",
        "IMAGE_SAFETY": "An input picture was judged unsafe.",
        "JAILBREAK": "The prompt tries to get around the rules.",
        "MODEL_ARMOR": "The prompt was blocked by a policy of the upstream project.",
        "OTHER": "The prompt or an input picture was blocked.",
        "BLOCKED_REASON_UNSPECIFIED": "The prompt or an input picture was blocked.",
    }
)
"""``promptFeedback.blockReason``; an unknown one is a block all the same."""

FINISH_CONTENT: Mapping[str, str] = MappingProxyType(
    {
        "SAFETY": "The result was judged unsafe.",
        "RECITATION": "The result would repeat protected material.",
        "LANGUAGE": "The language of the prompt is not supported.",
        "BLOCKLIST": "The result has words that are not allowed.",
        "PROHIBITED_CONTENT": "The result would be prohibited content.",
        "SPII": "The result would show personal information.",
        "MODEL_ARMOR": "The result was blocked by a policy of the upstream project.",
        "IMAGE_SAFETY": "The picture was judged unsafe.",
        "IMAGE_PROHIBITED_CONTENT": "The picture would be prohibited content.",
        "IMAGE_RECITATION": "The picture would repeat protected material.",
    }
)
"""``finishReason`` of a refused output; every other one without a picture is an upstream failure."""

INTERACTION_CODES: Mapping[str, FailureClass] = MappingProxyType(
    {
        "invalid_request": FailureClass.BAD_INPUT,
        "parameter_unknown": FailureClass.BAD_INPUT,
        "failed_precondition": FailureClass.FORBIDDEN,
        "out_of_range": FailureClass.BAD_INPUT,
        "authentication": FailureClass.AUTH,
        "payment_required": FailureClass.CREDITS,
        "permission_denied": FailureClass.FORBIDDEN,
        "model_not_found": FailureClass.MODEL_GONE,
        "already_exists": FailureClass.UPSTREAM,
        "aborted": FailureClass.UPSTREAM,
        "rate_limit_exceeded": FailureClass.THROTTLED,
        "too_many_requests": FailureClass.THROTTLED,
        "quota_exceeded": FailureClass.QUOTA_MODEL,
        "cancelled": FailureClass.UPSTREAM,
        "unimplemented": FailureClass.UPSTREAM,
        "service_unavailable": FailureClass.UPSTREAM,
        "deadline_exceeded": FailureClass.UPSTREAM,
    }
)
"""Words of the interactions envelope whose meaning does not depend on the call.

``api_error`` is not here: it says no more than the HTTP status does.
"""

INTERACTION_CONTENT: Mapping[str, str] = MappingProxyType(
    {
        "safety": "The prompt or the result was judged unsafe.",
        "recitation": "The result would repeat protected material.",
        "language": "The language of the prompt is not supported.",
        "prohibited_content": "The prompt or the result is prohibited content.",
        "spii": "The result would show personal information.",
        "blocklist": "The prompt has words that are not allowed.",
        "image_safety": "The picture was judged unsafe.",
        "image_prohibited_content": "The picture is prohibited content.",
        "image_recitation": "The picture would repeat protected material.",
        "image_other": "The picture was refused.",
        "content_blocked": "The content was blocked.",
    }
)

KEY_REASONS = frozenset({"API_KEY_INVALID", "API_KEY_EXPIRED", "ACCESS_TOKEN_EXPIRED", "ACCESS_TOKEN_TYPE_UNSUPPORTED"})
"""``ErrorInfo.reason`` of a dead credential, whatever the HTTP status."""

KEY_WORDS = ("api key not valid", "api key expired", "api_key_invalid")

CONTENT_WORDS = ("usage guidelines", "safety", "violat", "prohibited", "responsible ai", "sensitive words")
"""Parts of messages by which a 400 tells that it is about content."""

REFUSAL_WORDS = (
    "i can't", "i cannot", "can't create", "can't generate", "cannot generate", "cannot create",
    "unable to", "not able to", "i won't", "i'm sorry", "i am sorry", "policy", "policies", "guidelines",
)  # fmt: skip
"""Parts of answers by which a model says that it will not make the picture."""

GENERAL_CONTENT_WORDS = "The upstream's content policy does not allow this."

HTTP_OF_GRPC: Mapping[int, int] = MappingProxyType(
    {1: 499, 2: 500, 3: 400, 4: 504, 5: 404, 6: 409, 7: 403, 8: 429, 9: 400, 10: 409, 11: 400, 12: 501, 13: 500,
     14: 503, 15: 500, 16: 401}
)  # fmt: skip

HTTP_OF_STATUS: Mapping[str, int] = MappingProxyType(
    {
        "INVALID_ARGUMENT": 400,
        "OUT_OF_RANGE": 400,
        "UNAUTHENTICATED": 401,
        "PERMISSION_DENIED": 403,
        "NOT_FOUND": 404,
        "ALREADY_EXISTS": 409,
        "ABORTED": 409,
        "RESOURCE_EXHAUSTED": 429,
        "CANCELLED": 499,
        "UNKNOWN": 500,
        "INTERNAL": 500,
        "DATA_LOSS": 500,
        "UNIMPLEMENTED": 501,
        "UNAVAILABLE": 503,
        "DEADLINE_EXCEEDED": 504,
    }
)

_SUPPORT_CODE = re.compile(r"\b\d{8}\b")
_BY_CATEGORY: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "it may show a child": ("58061214", "17301594"),
        "it may show a well-known person": ("29310472", "15236754"),
        "dangerous content": ("62263041",),
        "hateful content": ("57734940", "22137204"),
        "its content": ("74803281", "29578790", "42876398"),
        "people or faces are not allowed by the settings": ("39322892",),
        "personal information": ("92201652",),
        "prohibited content": ("89371032", "49114662", "72817394"),
        "sexual content": ("90789179", "63429089", "43188360"),
        "toxic content": ("78610348",),
        "violence": ("61493863", "56562880"),
        "vulgar content": ("32635315",),
    }
)
SUPPORT_CODES: Mapping[str, str] = MappingProxyType(
    {code: words for words, codes in _BY_CATEGORY.items() for code in codes}
)
"""Why a result was withheld. Source: docs/upstream/google-official.md, section 7."""


def support_codes(text: str) -> list[str]:
    """The support codes in the words of a filter."""
    return _SUPPORT_CODE.findall(text)
