"""What is counted about the ledger."""

from __future__ import annotations

from prometheus_client import Counter

MOVES_TOTAL = Counter("flow2api_ledger_moves_total", "Ledger entries that came into a state", ["operation", "state"])
CREDITS_TOTAL = Counter(
    "flow2api_ledger_credits_total",
    "Credits by what became of them: reserved at acceptance, settled or released at the end",
    ["operation", "how"],
)
BUDGET_REFUSALS_TOTAL = Counter(
    "flow2api_ledger_budget_refusals_total", "Generations refused because the day's budget of their API key is spent"
)
LATE_NEWS_TOTAL = Counter(
    "flow2api_ledger_late_news_total",
    "Reports about entries that were closed already, and that would have changed them: look at these by hand",
    ["operation"],
)
