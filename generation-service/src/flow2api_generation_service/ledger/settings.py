"""The settings of the ledger."""

from __future__ import annotations

from datetime import timedelta

from flow2api_common.settings import BaseServiceSettings, Duration


class LedgerSettings(BaseServiceSettings):
    """How long the ledger keeps what. Durations are seconds, or ISO 8601 such as ``P7D``."""

    ledger_dispute_period: Duration = timedelta(days=7)
    """How long an entry whose charge is unknown waits for an operator before it counts as spent for good."""
    ledger_entry_retention: Duration = timedelta(days=35)
    """How long single entries are kept; the sums of their days stay."""
    ledger_day_retention: Duration = timedelta(days=400)
    """How long the sums of a day are kept."""
