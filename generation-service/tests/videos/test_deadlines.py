"""A stage ends at its own time or at the client's, whichever is earlier."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from flow2api_generation_service.videos.deadlines import stage_deadline
from flow2api_generation_service.videos.models import JobRow

NOW = datetime(2026, 11, 24, tzinfo=UTC)


@pytest.mark.parametrize(
    ("client", "expected"), [(None, 900), (NOW + timedelta(minutes=1), 60), (NOW + timedelta(days=1), 900)]
)
def test_the_earlier_deadline_counts(client: datetime | None, expected: int) -> None:
    job = JobRow(deadline_seconds=900, client_deadline_time=client)
    assert stage_deadline(job, NOW) == NOW + timedelta(seconds=expected)
