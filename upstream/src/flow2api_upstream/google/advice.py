"""What whoever owns a credential of Google has to do about an error: for operators, never for clients.

A *word* is the upstream's reason in lower case (``billing_disabled``), or one of ours where it has none
(``key_revoked``). It is what a token's state and its rests are labelled with. Source of the upstream's words:
docs/upstream/google-official.md, sections 3 and 10. docs/google-credentials.md explains each; a test holds the two
together.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True, slots=True)
class Advice:
    """One plain sentence or two. ``is_final``: the credential is of no use until somebody has done it."""

    text: str
    is_final: bool = True


_ENABLE_AGAIN = "then enable the token again"

ADVICE: Mapping[str, Advice] = MappingProxyType(
    {
        # The credential itself.
        "api_key_invalid": Advice("Google does not know this API key (any more): make a new one and put it in."),
        "api_key_expired": Advice("The API key has expired: make a new one and put it in."),
        "secret_refused": Advice("Google refuses what this credential shows: make a new one and put it in."),
        "key_unreadable": Advice("This is no credential of Google that is understood here; see the message."),
        "key_revoked": Advice(
            "Google does not accept the signature of this service-account key: the key was deleted or replaced. Make a "
            "new key of the account and put it in."
        ),
        "account_not_found": Advice("The service account was deleted: make another one, or restore it within 30 days."),
        "account_disabled": Advice(f"The service account is disabled: enable it in the project, {_ENABLE_AGAIN}."),
        "refresh_token_revoked": Advice(
            "The user's sign-in has ended or was revoked: run `gcloud auth application-default login` and put the new "
            "file in, or use a service account."
        ),
        "oauth_client_refused": Advice("Google refuses the OAuth client of this credential: make the credential anew."),
        "scope_refused": Advice(
            "The account may not have the scope cloud-platform: ask the administrator of the domain."
        ),
        "clock_wrong": Advice(
            "The clock of this machine differs from Google's by minutes: set it right (NTP). Nothing is wrong with the "
            "credential, which is tried again by itself.",
            is_final=False,
        ),
        "no_metadata_server": Advice(
            "There is no metadata server here, or the machine runs without a service account: attach one to it, or put "
            "in a key file.",
            is_final=False,
        ),
        "access_token_expired": Advice("The access token has ended; it is renewed by itself.", is_final=False),
        "no_project": Advice("The credential names no project: give one as project_id."),
        # What the project or its administrators do not allow.
        "service_disabled": Advice(
            "The API is not enabled in this project: enable it (aiplatform.googleapis.com for Vertex, "
            f"generativelanguage.googleapis.com for Gemini API keys), wait some minutes, {_ENABLE_AGAIN}."
        ),
        "billing_disabled": Advice(f"Billing is off in this project: link a billing account to it, {_ENABLE_AGAIN}."),
        "iam_permission_denied": Advice(
            "The account may not use Vertex AI in this project: grant it the role roles/aiplatform.user there, wait "
            f"some minutes, {_ENABLE_AGAIN}."
        ),
        "permission_denied": Advice(
            "Google does not allow this account what was asked: check its role (roles/aiplatform.user) in this "
            "project, and that project id and location are right.",
            is_final=False,
        ),
        "consumer_invalid": Advice("There is no such project, or it was deleted: check the project id."),
        "consumer_suspended": Advice("Google has suspended this project: its owner has to talk to Google."),
        "project_suspended": Advice("Google has suspended this project: its owner has to talk to Google."),
        "account_state_invalid": Advice("The account is disabled or locked: its administrator has to unlock it."),
        "user_project_denied": Advice(
            "The user may not charge the quota project of its credentials: grant it "
            "roles/serviceusage.serviceUsageConsumer there."
        ),
        "api_key_service_blocked": Advice(
            f"The API key is restricted to other APIs: allow this one in its restrictions, {_ENABLE_AGAIN}."
        ),
        "api_key_http_referrer_blocked": Advice(
            "The API key is restricted to web pages: use a key without this restriction, here calls come from a server."
        ),
        "api_key_ip_address_blocked": Advice(
            f"The API key is restricted to other addresses: add the one that this service calls from, {_ENABLE_AGAIN}."
        ),
        "api_key_android_app_blocked": Advice("The API key is restricted to an Android app: use one for servers."),
        "api_key_ios_app_blocked": Advice("The API key is restricted to an iOS app: use one for servers."),
        "failed_precondition": Advice(
            "Google does not serve this project from here, or billing is off: check both; a project in a country that "
            "is served is needed.",
            is_final=False,
        ),
        "payment_required": Advice("The project's prepaid credit is used up: top it up."),
        # What passes, or concerns one model alone.
        "model_not_here": Advice(
            "The model is not served in this location: add the credential with a location that has it, such as global.",
            is_final=False,
        ),
        "quota": Advice(
            "The day's quota of the model in this project and location is used up; it begins anew at midnight US "
            "Pacific time. More: ask for a higher quota in the console, or add a project or location.",
            is_final=False,
        ),
        "tier_denied": Advice(
            "The plan of this project has no quota for the model: ask for one in the console.", is_final=False
        ),
        "rate_limited": Advice("Google asks for a pause; it ends by itself.", is_final=False),
    }
)


def advice_of(word: str) -> str:
    """What to do about a word; empty where nothing can be said."""
    advice = ADVICE.get(word)
    return advice.text if advice else ""


def final_word(reason: str) -> str:
    """The word of an upstream's reason that puts the whole credential out of use; empty for any other."""
    word = reason.lower()
    return word if word in ADVICE and ADVICE[word].is_final else ""
