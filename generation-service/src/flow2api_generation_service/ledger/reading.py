"""Reading the ledger: sums and entries; and deciding what is disputed."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from datetime import date, datetime
from typing import Any, Final

from flow2api_common.clock import Clock
from flow2api_common.database import Database
from flow2api_common.errors import FailedPrecondition, InvalidArgument, NotFound
from flow2api_common.logs import get_logger
from flow2api_generation_service.ledger.book import LedgerBook
from flow2api_generation_service.ledger.models import LedgerEntryRow
from flow2api_generation_service.ledger.repository import EntryCursor, LedgerFilter, LedgerRepository
from flow2api_generation_service.ledger.states import EntryState
from flow2api_proto.generation.v1 import ledger_pb2 as pb

log = get_logger(__name__)

DEFAULT_PAGE_SIZE: Final = 100
LARGEST_PAGE_SIZE: Final = 1000

_PROTO_STATES: Final = {state: pb.LedgerState.Value(f"LEDGER_STATE_{state.name}") for state in EntryState}
_STATES: Final = {value: state for state, value in _PROTO_STATES.items()}
_DIMENSIONS: Final[dict[int, str]] = {
    pb.USAGE_DIMENSION_DAY: "day",
    pb.USAGE_DIMENSION_API_KEY: "api_key_id",
    pb.USAGE_DIMENSION_TOKEN: "token_id",
    pb.USAGE_DIMENSION_MODEL: "model_id",
    pb.USAGE_DIMENSION_OPERATION: "operation",
    pb.USAGE_DIMENSION_PROVIDER: "provider",
}
_BAD_TOKEN: Final = "The page token is not one of ours."  # noqa: S105 - a message, no secret


class Ledger:
    """The RPCs of the ledger. They raise Flow2APIError."""

    def __init__(self, *, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def usage(self, request: pb.GetUsageRequest) -> pb.GetUsageResponse:
        """What generations took together. Raises InvalidArgument for ``group_by``, ``first_day``, ``last_day``."""
        if any(each not in _DIMENSIONS for each in request.group_by):
            raise InvalidArgument.of("group_by", "There is no such dimension.")
        names = {_DIMENSIONS[each] for each in request.group_by}
        async with self._database.transaction(read_only=True) as session:
            rows = await LedgerRepository(session).usage(_filter_of(request.filter), names)
        return pb.GetUsageResponse(rows=[_usage_row(row) for row in rows])

    async def page(self, request: pb.ListLedgerEntriesRequest) -> pb.ListLedgerEntriesResponse:
        """One page, newest first. Raises InvalidArgument for ``page_size``, ``page_token``, ``states`` and the days."""
        if not 0 <= request.page_size <= LARGEST_PAGE_SIZE:
            raise InvalidArgument.of("page_size", f"A page has 1 to {LARGEST_PAGE_SIZE} entries.")
        if any(state not in _STATES for state in request.states):
            raise InvalidArgument.of("states", "There is no such state.")
        size = request.page_size or DEFAULT_PAGE_SIZE
        async with self._database.transaction(read_only=True) as session:
            rows = await LedgerRepository(session).page(
                _filter_of(request.filter),
                limit=size + 1,
                generation_id=request.generation_id,
                states=[_STATES[state] for state in request.states],
                after=_cursor_of(request.page_token) if request.page_token else None,
            )
        page = rows[:size]
        return pb.ListLedgerEntriesResponse(
            entries=[entry_to_grpc(row) for row in page],
            next_page_token=_token_of(page[-1]) if len(rows) > size else "",
        )

    async def resolve(self, request: pb.ResolveLedgerEntryRequest) -> pb.ResolveLedgerEntryResponse:
        """Settle or release an entry that is disputed. Safe to repeat with the same decision.

        Raises InvalidArgument for ``state``, NotFound LEDGER_ENTRY_NOT_FOUND, FailedPrecondition
        LEDGER_ENTRY_NOT_DISPUTED.
        """
        target = _STATES.get(request.state)
        if target not in {EntryState.SETTLED, EntryState.RELEASED}:
            raise InvalidArgument.of("state", "It can be settled or released.")
        async with self._database.transaction() as session:
            book = LedgerBook(session, clock=self._clock)
            rows = await book.entries(request.generation_id)
            row = next((row for row in rows if row.line == request.line), None)
            if row is None:
                raise NotFound("There is no such entry.", reason="LEDGER_ENTRY_NOT_FOUND")
            if row.state == EntryState.DISPUTED:
                move = book.settle if target is EntryState.SETTLED else book.release
                await move(row, reason="resolved_by_operator")
                log.info("ledger_entry_resolved", generation_id=row.generation_id, line=row.line, state=target)
            elif row.state != target:
                raise FailedPrecondition(f"The entry is {row.state}, not disputed.", reason="LEDGER_ENTRY_NOT_DISPUTED")
            return pb.ResolveLedgerEntryResponse(entry=entry_to_grpc(row))


def entry_to_grpc(row: LedgerEntryRow) -> pb.LedgerEntry:
    """The entry as its readers see it."""
    entry = pb.LedgerEntry(
        generation_id=row.generation_id,
        line=row.line,
        operation=row.operation,
        api_key_id=row.api_key_id,
        day=row.day.isoformat(),
        model_id=row.model_id,
        provider=row.provider or "",
        upstream_model=row.upstream_model or "",
        token_id=row.token_id or 0,
        state=_PROTO_STATES[EntryState(row.state)],
        reason=row.reason,
        reserved_credits=row.reserved_credits,
        credits=row.credits,
        released_credits=row.released_credits,
        micros=row.micros,
        currency=row.currency or "",
        balance_after=row.balance_after,
        output_count=row.output_count,
    )
    entry.create_time.FromDatetime(row.create_time)
    entry.update_time.FromDatetime(row.update_time)
    return entry


def _usage_row(values: Mapping[str, Any]) -> pb.UsageRow:
    row = pb.UsageRow()
    for name, value in values.items():
        if isinstance(value, date):
            setattr(row, name, value.isoformat())
        else:
            # PostgreSQL sums bigints as numeric.
            setattr(row, name, value if isinstance(value, str) else int(value))
    return row


def _filter_of(wanted: pb.LedgerFilter) -> LedgerFilter:
    return LedgerFilter(
        api_key_id=wanted.api_key_id,
        token_id=wanted.token_id,
        model_id=wanted.model_id,
        first_day=_day_of("first_day", wanted.first_day),
        last_day=_day_of("last_day", wanted.last_day),
    )


def _day_of(field: str, text: str) -> date | None:
    if not text:
        return None
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise InvalidArgument.of(field, "A day is written YYYY-MM-DD.") from error


def _token_of(row: LedgerEntryRow) -> str:
    return base64.urlsafe_b64encode(f"{row.create_time.isoformat()}|{row.generation_id}|{row.line}".encode()).decode()


def _cursor_of(token: str) -> EntryCursor:
    try:
        time, generation_id, line = base64.urlsafe_b64decode(token.encode()).decode().split("|")
        create_time = datetime.fromisoformat(time)
    except (ValueError, binascii.Error) as error:
        raise InvalidArgument.of("page_token", _BAD_TOKEN) from error
    if create_time.tzinfo is None:
        raise InvalidArgument.of("page_token", _BAD_TOKEN)
    return EntryCursor(create_time, generation_id, line)
