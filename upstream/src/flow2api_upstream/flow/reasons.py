"""The words by which Flow says why, and what they mean. The lists are open.

Source: docs/upstream/flow.md, sections 12 and 13.
"""

from collections.abc import Mapping
from types import MappingProxyType

from flow2api_upstream.port import FailureClass

PUBLIC_ERROR = "PUBLIC_ERROR_"

CONTENT_REASONS: Mapping[str, str] = MappingProxyType(
    {
        "PUBLIC_ERROR_UNSAFE_GENERATION": "The prompt or the result was judged unsafe.",
        "PUBLIC_ERROR_UNSAFE_CONTENT": "The prompt or the result was judged unsafe.",
        "PUBLIC_ERROR_UNSAFE_FACE": "It shows a recognisable person's face or identity.",
        "PUBLIC_ERROR_UNSAFE_IDENTITY": "It shows a recognisable person's face or identity.",
        "PUBLIC_ERROR_PROMINENT_PEOPLE_FILTER_FAILED": "It is about a well-known person.",
        "PUBLIC_ERROR_PROMINENT_PEOPLE_UPLOAD": "An input picture shows a well-known person.",
        "PUBLIC_ERROR_MINOR": "It is about a child.",
        "PUBLIC_ERROR_MINOR_UPLOAD": "An input picture shows a child.",
        "PUBLIC_ERROR_SEXUAL": "It was judged to be sexual.",
        "PUBLIC_ERROR_SEXUAL_UPLOAD": "An input picture was judged to be sexual.",
        "PUBLIC_ERROR_VIOLENCE_FILTER": "It was judged to be violent.",
        "PUBLIC_ERROR_DANGER_FILTER": "It shows dangerous acts.",
        "PUBLIC_ERROR_IP_INPUT_IMAGE": "An input picture shows protected characters or brands.",
        "PUBLIC_ERROR_CONTAIN_OTHER_IMAGE": "An input picture is not accepted for this use.",
        "PUBLIC_ERROR_UPLOAD_IMAGE_CONTAIN_PEOPLE_IMAGE": "An input picture with people is not accepted for this use.",
        "PUBLIC_ERROR_AUDIO_FILTERED": "The sound track was filtered; another seed may pass.",
        "PUBLIC_ERROR_QUALITY_FILTER_FAILED": "The result was judged to be bad; another seed may pass.",
        "PUBLIC_ERROR_AESTHETIC_FILTER_FAILED": "The result was judged to be bad; another seed may pass.",
        "FINISH_REASON_INPUT_VIDEO_EDIT": "Editing this clip was refused.",
    }
)
"""Reasons that mean a refusal of the content, with the plain words for the client."""

CONTENT_REASON_PREFIXES = ("PUBLIC_ERROR_CONTENT_POLICY",)
GENERAL_CONTENT_WORDS = "It goes against the upstream's content policy."
FILTERED_WORDS = "The upstream answered without a result, which is how it filters content."

OTHER_REASONS: Mapping[str, FailureClass] = MappingProxyType(
    {
        "PUBLIC_ERROR_USER_REQUESTS_THROTTLED": FailureClass.THROTTLED,
        "PUBLIC_ERROR_UNUSUAL_ACTIVITY_TOO_MUCH_TRAFFIC": FailureClass.THROTTLED,
        "PUBLIC_ERROR_PER_MODEL_DAILY_QUOTA_REACHED": FailureClass.QUOTA_MODEL,
        "PUBLIC_ERROR_USER_QUOTA_REACHED": FailureClass.QUOTA_ACCOUNT,
        "PUBLIC_ERROR_MODEL_ACCESS_DENIED": FailureClass.TIER,
        "PUBLIC_ERROR_HIGH_TRAFFIC": FailureClass.UPSTREAM,
        "PUBLIC_ERROR_SOMETHING_WENT_WRONG": FailureClass.UPSTREAM,
        "PUBLIC_ERROR_VIDEO_GENERATION_TIMED_OUT": FailureClass.UPSTREAM,
    }
)
"""Reasons with a meaning of their own, whatever the HTTP status."""

VERIFICATION_REASON = "PUBLIC_ERROR_UNUSUAL_ACTIVITY"
VERIFICATION_COMPANION_REASONS = frozenset({VERIFICATION_REASON, "PUBLIC_ERROR_SOMETHING_WENT_WRONG"})
VERIFICATION_STATUSES = frozenset({403, 429})
VERIFICATION_WORD = "recaptcha"

CREDIT_WORD = "credit"
CREDIT_STATUSES = frozenset({400, 402, 429})

HTTP_OF_STATUS: Mapping[str, int] = MappingProxyType(
    {
        "INVALID_ARGUMENT": 400,
        "FAILED_PRECONDITION": 400,
        "OUT_OF_RANGE": 400,
        "UNAUTHENTICATED": 401,
        "UNAUTHORIZED": 401,
        "PERMISSION_DENIED": 403,
        "FORBIDDEN": 403,
        "NOT_FOUND": 404,
        "ALREADY_EXISTS": 409,
        "ABORTED": 409,
        "RESOURCE_EXHAUSTED": 429,
        "TOO_MANY_REQUESTS": 429,
        "CANCELLED": 499,
        "UNKNOWN": 500,
        "INTERNAL": 500,
        "INTERNAL_SERVER_ERROR": 500,
        "DATA_LOSS": 500,
        "UNIMPLEMENTED": 501,
        "UNAVAILABLE": 503,
        "DEADLINE_EXCEEDED": 504,
    }
)
"""HTTP statuses of Google's and tRPC's status words."""

HTTP_OF_GRPC: Mapping[int, int] = MappingProxyType(
    {1: 499, 2: 500, 3: 400, 4: 504, 5: 404, 7: 403, 8: 429, 9: 400, 10: 409, 13: 500, 14: 503, 16: 401}
)
"""HTTP statuses of the gRPC numbers inside a status answer."""
