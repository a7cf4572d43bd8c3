"""The request log, for administrators."""

from __future__ import annotations

import base64
import binascii
from datetime import datetime

from flow2api_common.database import Database
from flow2api_common.errors import InvalidArgument
from flow2api_generation_service.requestlog.models import RequestLogRow
from flow2api_generation_service.requestlog.repository import Cursor, RequestLogRepository
from flow2api_proto.generation.v1 import generation_service_pb2

DEFAULT_PAGE_SIZE = 100
LARGEST_PAGE_SIZE = 1000


class RequestLogListing:
    """Reads the log."""

    def __init__(self, *, database: Database) -> None:
        self._database = database

    async def page(
        self, request: generation_service_pb2.ListRequestLogsRequest
    ) -> generation_service_pb2.ListRequestLogsResponse:
        """One page, newest first. Raises InvalidArgument for ``page_size`` and ``page_token``."""
        if not 0 <= request.page_size <= LARGEST_PAGE_SIZE:
            raise InvalidArgument.of("page_size", f"A page has 1 to {LARGEST_PAGE_SIZE} entries.")
        size = request.page_size or DEFAULT_PAGE_SIZE
        after = _cursor_of(request.page_token) if request.page_token else None
        async with self._database.transaction(read_only=True) as session:
            rows = await RequestLogRepository(session).page(limit=size + 1, after=after)
        page = rows[:size]
        return generation_service_pb2.ListRequestLogsResponse(
            request_logs=[_to_grpc(row) for row in page],
            next_page_token=_token_of(page[-1]) if len(rows) > size else "",
        )


def _to_grpc(row: RequestLogRow) -> generation_service_pb2.RequestLog:
    log = generation_service_pb2.RequestLog(
        generation_id=row.generation_id,
        operation=row.operation,
        model_id=row.model_id,
        api_key_id=row.api_key_id,
        token_id=row.token_id or 0,
        outcome=row.outcome,
        duration_ms=row.duration_ms,
    )
    log.create_time.FromDatetime(row.create_time)
    return log


def _token_of(row: RequestLogRow) -> str:
    return base64.urlsafe_b64encode(f"{row.create_time.isoformat()}|{row.generation_id}".encode()).decode()


def _cursor_of(token: str) -> Cursor:
    try:
        time, _, generation_id = base64.urlsafe_b64decode(token.encode()).decode().partition("|")
        create_time = datetime.fromisoformat(time)
    except (ValueError, binascii.Error) as exc:
        raise InvalidArgument.of("page_token", "The page token is not one of ours.") from exc
    if create_time.tzinfo is None:
        raise InvalidArgument.of("page_token", "The page token is not one of ours.")
    return Cursor(create_time, generation_id)
