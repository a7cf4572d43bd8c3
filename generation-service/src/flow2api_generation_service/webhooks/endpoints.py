"""Registering receivers: the use cases behind the calls of OpenAI's SDK."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import timedelta
from typing import Final

from flow2api_common.clock import Clock
from flow2api_common.database import Database
from flow2api_common.errors import FailedPrecondition, FieldViolation, InvalidArgument, NotFound
from flow2api_common.ids import new_id
from flow2api_common.logs import get_logger
from flow2api_common.sealing import Seal, SealBroken, masked
from flow2api_generation_service.webhooks.delivery_repository import DeliveryRepository
from flow2api_generation_service.webhooks.endpoint_repository import EndpointRepository
from flow2api_generation_service.webhooks.events import event_payload
from flow2api_generation_service.webhooks.models import EventType, ReceiverKind, WebhookEndpointRow
from flow2api_generation_service.webhooks.post import AttemptError, WebhookSender
from flow2api_generation_service.webhooks.receivers import (
    SECRET_PURPOSE,
    ReceiverAddresses,
    SigningSecrets,
    receiver_of,
)
from flow2api_generation_service.webhooks.signing import new_signing_secret
from flow2api_proto.generation.v1 import webhook_service_pb2

# What the ids of those that an event is about begin with.
_SUBJECTS: Final = {"video": "video", "image_job": "image"}
log = get_logger(__name__)

MAX_NAME: Final = 100
MAX_ENDPOINTS: Final = 50
DISABLED_BY_CLIENT: Final = "client"
LARGEST_PAGE_SIZE: Final = 100
DEFAULT_PAGE_SIZE: Final = 20
_MOST_KEPT: Final = timedelta(days=7)
_CHANGEABLE: Final = frozenset({"name", "url", "event_types", "enabled"})


class WebhookEndpoints:
    """Makes, reads and changes receivers. Methods raise NotFound WEBHOOK_ENDPOINT_NOT_FOUND, also for another key's."""

    def __init__(
        self,
        *,
        database: Database,
        addresses: ReceiverAddresses,
        seal: Seal,
        secrets: SigningSecrets,
        sender: WebhookSender,
        clock: Clock,
    ) -> None:
        self._database = database
        self._addresses = addresses
        self._seal = seal
        self._secrets = secrets
        self._sender = sender
        self._clock = clock

    async def create(self, request: webhook_service_pb2.CreateWebhookEndpointRequest) -> tuple[WebhookEndpointRow, str]:
        """A new one and its secret. Raises InvalidArgument, FailedPrecondition TOO_MANY_WEBHOOK_ENDPOINTS."""
        violations = [*_name_violations(request.name), *_event_violations(request.event_types)]
        if not request.api_key_id:
            violations.append(FieldViolation("api_key_id", "It is required."))
        _refuse(violations)
        await self._addresses.check(request.url, field="url")
        secret = new_signing_secret()
        now = self._clock()
        row = WebhookEndpointRow(
            endpoint_id=new_id("we"),
            api_key_id=request.api_key_id,
            name=request.name.strip(),
            url=request.url,
            event_types=_in_order(request.event_types),
            sealed_secret=self._seal.seal(secret, purpose=SECRET_PURPOSE),
            secret_hint=masked(secret),
            create_time=now,
            update_time=now,
        )
        async with self._database.transaction() as session:
            repository = EndpointRepository(session)
            if await repository.count(request.api_key_id) >= MAX_ENDPOINTS:
                raise FailedPrecondition(
                    f"An API key has at most {MAX_ENDPOINTS} webhook endpoints.", reason="TOO_MANY_WEBHOOK_ENDPOINTS"
                )
            await repository.add(row)
        log.info("webhook_endpoint_created", endpoint_id=row.endpoint_id, api_key_id=row.api_key_id)
        return row, secret

    async def get(self, endpoint_id: str, *, api_key_id: str) -> WebhookEndpointRow:
        """One."""
        async with self._database.transaction(read_only=True) as session:
            row = await EndpointRepository(session).get(endpoint_id, api_key_id=api_key_id)
        return _there(row)

    async def page(
        self, request: webhook_service_pb2.ListWebhookEndpointsRequest
    ) -> tuple[Sequence[WebhookEndpointRow], str]:
        """A page, and the token of the next. Raises InvalidArgument for ``page_size``."""
        if not 0 <= request.page_size <= LARGEST_PAGE_SIZE:
            raise InvalidArgument.of("page_size", f"A page has 1 to {LARGEST_PAGE_SIZE} endpoints.")
        size = request.page_size or DEFAULT_PAGE_SIZE
        async with self._database.transaction(read_only=True) as session:
            rows = await EndpointRepository(session).page(
                limit=size + 1, after_id=request.page_token, api_key_id=request.api_key_id
            )
        return rows[:size], rows[size - 1].endpoint_id if len(rows) > size else ""

    async def update(self, request: webhook_service_pb2.UpdateWebhookEndpointRequest) -> WebhookEndpointRow:
        """Change what the mask names. Raises InvalidArgument."""
        wanted, paths = request.webhook_endpoint, frozenset(request.update_mask.paths)
        await self._check_update(wanted, paths)
        async with self._database.transaction() as session:
            row = _there(
                await EndpointRepository(session).get(
                    wanted.webhook_endpoint_id, api_key_id=request.api_key_id, for_update=True
                )
            )
            before = (row.name, row.url, row.event_types, row.disabled_reason)
            if "name" in paths:
                row.name = wanted.name.strip()
            if "event_types" in paths:
                row.event_types = _in_order(wanted.event_types)
            if "url" in paths and wanted.url != row.url:
                row.url, row.disabled_reason = wanted.url, None
                await DeliveryRepository(session).readdress(row.endpoint_id, url=row.url, receiver=receiver_of(row.url))
            if "enabled" in paths:
                row.disabled_reason = None if wanted.enabled else (row.disabled_reason or DISABLED_BY_CLIENT)
            if (row.name, row.url, row.event_types, row.disabled_reason) != before:
                row.update_time = self._clock()
            if row.disabled_reason is not None:
                await DeliveryRepository(session).give_up_endpoint(
                    row.endpoint_id, error=AttemptError.ENDPOINT_DISABLED, now=self._clock()
                )
        return row

    async def delete(self, endpoint_id: str, *, api_key_id: str) -> None:
        """Remove one, and give up what waits for it."""
        async with self._database.transaction() as session:
            repository = EndpointRepository(session)
            _there(await repository.get(endpoint_id, api_key_id=api_key_id))
            await DeliveryRepository(session).give_up_endpoint(
                endpoint_id, error=AttemptError.ENDPOINT_DISABLED, now=self._clock()
            )
            await repository.delete(endpoint_id)
        log.info("webhook_endpoint_deleted", endpoint_id=endpoint_id)

    async def rotate_secret(
        self, endpoint_id: str, *, api_key_id: str, keep_old: timedelta
    ) -> tuple[WebhookEndpointRow, str]:
        """Another secret; the one until now signs too for ``keep_old``. Raises InvalidArgument."""
        if not timedelta(0) <= keep_old <= _MOST_KEPT:
            raise InvalidArgument.of("keep_old_duration", "The old secret is kept for 0 to 7 days.")
        secret = new_signing_secret()
        async with self._database.transaction() as session:
            row = _there(await EndpointRepository(session).get(endpoint_id, api_key_id=api_key_id, for_update=True))
            now = self._clock()
            row.sealed_old_secret = row.sealed_secret if keep_old else None
            row.old_secret_until = now + keep_old if keep_old else None
            row.sealed_secret = self._seal.seal(secret, purpose=SECRET_PURPOSE)
            row.secret_hint = masked(secret)
            row.update_time = now
        log.info("webhook_secret_rotated", endpoint_id=endpoint_id)
        return row, secret

    async def test(self, endpoint_id: str, *, api_key_id: str, event_type: str) -> int:
        """Send a sample, also to one that is disabled; answers the status that came back.

        Raises InvalidArgument, FailedPrecondition WEBHOOK_NOT_REACHED.
        """
        _refuse(_event_violations([event_type], field="event_type"))
        row = await self.get(endpoint_id, api_key_id=api_key_id)
        now, event_id = self._clock(), new_id("evt")
        try:
            signing_secrets = self._secrets.of_endpoint(row, now=now)
        except SealBroken as exc:
            raise FailedPrecondition(
                "The signing secret cannot be read any more: rotate it.", reason="WEBHOOK_NOT_REACHED"
            ) from exc
        attempt = await self._sender.post(
            row.url,
            kind=ReceiverKind.ENDPOINT,
            event_id=event_id,
            payload=event_payload(event_id, event_type, {"id": f"{_SUBJECTS[event_type.partition('.')[0]]}_test"}, now),
            signing_secrets=signing_secrets,
        )
        if attempt.status_code is None:
            raise FailedPrecondition(f"The receiver gave no answer ({attempt.error}).", reason="WEBHOOK_NOT_REACHED")
        return attempt.status_code

    async def _check_update(self, wanted: webhook_service_pb2.WebhookEndpoint, paths: Collection[str]) -> None:
        violations = [FieldViolation(path, "It cannot be changed.") for path in sorted(set(paths) - _CHANGEABLE)]
        if "name" in paths:
            violations += _name_violations(wanted.name)
        if "event_types" in paths:
            violations += _event_violations(wanted.event_types)
        _refuse(violations)
        if "url" in paths:
            await self._addresses.check(wanted.url, field="url")


def _there(row: WebhookEndpointRow | None) -> WebhookEndpointRow:
    if row is None:
        raise NotFound("The webhook endpoint does not exist.", reason="WEBHOOK_ENDPOINT_NOT_FOUND")
    return row


def _in_order(event_types: Collection[str]) -> list[str]:
    return [each.value for each in EventType if each.value in event_types]


def _name_violations(name: str) -> list[FieldViolation]:
    if not name.strip() or len(name) > MAX_NAME:
        return [FieldViolation("name", f"A name has 1 to {MAX_NAME} characters.")]
    return []


def _event_violations(event_types: Collection[str], *, field: str = "event_types") -> list[FieldViolation]:
    known = [each.value for each in EventType]
    if not event_types or any(each not in known for each in event_types):
        return [FieldViolation(field, f"Known event types are: {', '.join(known)}.")]
    return []


def _refuse(violations: Sequence[FieldViolation]) -> None:
    if violations:
        raise InvalidArgument(violations[0].description, violations=violations)
