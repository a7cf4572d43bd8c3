"""The credentials that Vertex takes, read from their text. Source: docs/upstream/google-official.md, section 3.

A document (JSON) is a service-account key, the file of a user's sign-in (``authorized_user``), or one of ours that
holds no secret: ``{"type": "metadata_server"}`` is the account of the machine itself, ``{"type":
"application_default"}`` whatever the machine is set up with. Any other text is an express key.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from flow2api_upstream.json_reading import as_object, text_at
from flow2api_upstream.port import FailureClass, Secret, UpstreamFailure

_ACCOUNT = re.compile(r"default|[\w.+-]+@[\w.-]+")
_NOT_UNDERSTOOD: Mapping[str, str] = {
    "external_account": "Workload identity federation is not supported: use a machine's account, or a key file.",
    "external_account_authorized_user": "Workforce identities are not supported: use a service-account key.",
    "impersonated_service_account": "Impersonation is not supported: use the account's own key.",
    "gdch_service_account": "Google Distributed Cloud is another cloud: give a service-account key of Google Cloud.",
}


@dataclass(frozen=True, slots=True)
class ServiceAccountKey:
    """A key file of a service account."""

    client_email: str
    private_key: str = field(repr=False)
    private_key_id: str = ""
    project_id: str = ""


@dataclass(frozen=True, slots=True)
class AuthorizedUser:
    """A user's sign-in, as ``gcloud auth application-default login`` stores it."""

    client_id: str
    client_secret: str = field(repr=False)
    refresh_token: str = field(repr=False)
    quota_project_id: str = ""


@dataclass(frozen=True, slots=True)
class MachineAccount:
    """The service account that the machine runs as; its metadata server gives the tokens."""

    account: str = "default"


@dataclass(frozen=True, slots=True)
class ApplicationDefault:
    """What the machine is set up with: a file by setting, else its own account."""


@dataclass(frozen=True, slots=True)
class ExpressKey:
    """An API key of Vertex in express mode: without project and location."""

    value: str = field(repr=False)


VertexCredential: TypeAlias = ServiceAccountKey | AuthorizedUser | MachineAccount | ApplicationDefault | ExpressKey


def read_credential(secret: Secret) -> VertexCredential:
    """Raises UpstreamFailure AUTH ``key_unreadable``, whose advice says what is wrong with the document."""
    text = secret.value.strip()
    if not text.startswith("{"):
        return ExpressKey(text)
    try:
        document = as_object(json.loads(text))
    except ValueError:
        # The cause quotes the document, which holds a private key.
        raise unreadable("The credential is no JSON document: paste the whole file.") from None
    kind = text_at(document, "type")
    match kind:
        case "service_account":
            return _service_account(document)
        case "authorized_user":
            return AuthorizedUser(
                client_id=_required(document, "client_id"),
                client_secret=_required(document, "client_secret"),
                refresh_token=_required(document, "refresh_token"),
                quota_project_id=text_at(document, "quota_project_id"),
            )
        case "metadata_server":
            account = text_at(document, "account") or "default"
            if _ACCOUNT.fullmatch(account) is None:
                raise unreadable("The member 'account' is 'default' or the e-mail address of a service account.")
            return MachineAccount(account)
        case "application_default":
            return ApplicationDefault()
        case _:
            raise unreadable(
                _NOT_UNDERSTOOD.get(
                    kind,
                    "The member 'type' of the document must be 'service_account', "
                    "'authorized_user', 'metadata_server' or 'application_default'.",
                )
            )


def unreadable(advice: str) -> UpstreamFailure:
    """A credential that cannot be used as it is."""
    return UpstreamFailure(FailureClass.AUTH, "The credential cannot be read.", reason="key_unreadable", advice=advice)


def _service_account(document: Mapping[str, object]) -> ServiceAccountKey:
    universe = text_at(document, "universe_domain")
    if universe not in {"", "googleapis.com"}:
        raise unreadable("The key belongs to another cloud ('universe_domain'): only googleapis.com is supported.")
    return ServiceAccountKey(
        client_email=_required(document, "client_email"),
        private_key=_required(document, "private_key"),
        private_key_id=text_at(document, "private_key_id"),
        project_id=text_at(document, "project_id"),
    )


def _required(document: Mapping[str, object], name: str) -> str:
    value = text_at(document, name)
    if not value:
        raise unreadable(f"The document lacks '{name}': paste the whole file as Google gave it.")
    return value
