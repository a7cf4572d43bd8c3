"""What a request for a video says about its own webhook: checked, and its secret sealed."""

from __future__ import annotations

from dataclasses import dataclass

from flow2api_common.errors import FieldViolation, InvalidArgument
from flow2api_common.sealing import Seal
from flow2api_generation_service.webhooks.receivers import SECRET_PURPOSE, ReceiverAddresses, SigningSecrets
from flow2api_generation_service.webhooks.signing import is_signing_secret
from flow2api_proto.generation.v1 import video_pb2


@dataclass(frozen=True, slots=True, kw_only=True)
class JobReceivers:
    """The ``webhook_url`` and ``webhook_secret`` of jobs."""

    addresses: ReceiverAddresses
    secrets: SigningSecrets
    seal: Seal

    async def check(self, request: video_pb2.CreateVideoRequest) -> None:
        """Refuse what cannot be used. Raises InvalidArgument on ``webhook_url`` or ``webhook_secret``."""
        violations = secret_violations(request)
        if violations:
            raise InvalidArgument(violations[0].description, violations=violations)
        if request.webhook_url:
            await self.addresses.check(request.webhook_url, field="webhook_url")

    def sealed_secret(self, request: video_pb2.CreateVideoRequest) -> str | None:
        """The secret that the caller brought, to be stored."""
        if not request.webhook_secret:
            return None
        return self.seal.seal(request.webhook_secret, purpose=SECRET_PURPOSE)

    def chosen_secret(self, request: video_pb2.CreateVideoRequest) -> str:
        """The secret that was chosen for a caller who brought none; empty when the caller or the operator did."""
        if not request.webhook_url or request.webhook_secret or self.secrets.of_installation():
            return ""
        return self.secrets.of_api_key(request.api_key_id)


def secret_violations(request: video_pb2.CreateVideoRequest) -> list[FieldViolation]:
    """What is wrong with the secret that the caller brought."""
    if not request.webhook_secret:
        return []
    if not request.webhook_url:
        return [FieldViolation("webhook_secret", "It is of use only with 'webhook_url'.")]
    if not is_signing_secret(request.webhook_secret):
        return [
            FieldViolation(
                "webhook_secret", "It must be 'whsec_' and base64 of 16 to 64 bytes, or 16 to 256 other characters."
            )
        ]
    return []
