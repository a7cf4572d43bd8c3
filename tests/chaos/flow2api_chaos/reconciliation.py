"""The ledger and the upstream's own account of what it has charged, in one sum each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from flow2api_chaos.books import Books, Job

_CREDIT_ROUTES: Final = "flow."


@dataclass(frozen=True, slots=True)
class Reconciliation:
    """One unit: credits of Flow, or millionths of a dollar.

    ``disputed`` is what the upstream says it has taken for entries of which nobody could know; ``unpriced`` what it has
    taken for clips whose price is not documented, so that the ledger counts nothing for them.
    """

    unit: str
    settled: int
    disputed: int
    unpriced: int
    upstream: int

    @property
    def difference(self) -> int:
        """What cannot be explained."""
        return self.upstream - self.settled - self.disputed - self.unpriced


def reconcile(books: Books) -> tuple[Reconciliation, Reconciliation]:
    """Both units: credits, then money."""
    jobs = {job.video_id: job for job in books.jobs}
    return _reconcile(books, jobs, in_credits=True), _reconcile(books, jobs, in_credits=False)


def taken_by_upstream(books: Books, prompt: str, *, in_credits: bool, upscale: bool | None = None) -> int:
    """Charges less refunds of one prompt, as the sandbox tells; of one stage, or of both."""
    seen: Mapping[str, Mapping[str, int]] = books.sandbox["submissions"].get(prompt, {})
    return sum(
        sign * amount
        for sign, name in ((1, "charged"), (-1, "refunded"))
        for route, amount in seen.get(name, {}).items()
        if route.startswith(_CREDIT_ROUTES) == in_credits
        and (upscale is None or (route == "flow.video_upsample") == upscale)
    )


def _reconcile(books: Books, jobs: Mapping[str, Job], *, in_credits: bool) -> Reconciliation:
    settled = [entry for entry in books.entries if entry.state == "settled"]
    disputed, unpriced = 0, 0
    for entry in books.entries:
        job = jobs.get(entry.generation_id)
        if job is None:
            continue
        taken = taken_by_upstream(books, job.prompt, in_credits=in_credits, upscale=entry.line == "upscale")
        if entry.state == "disputed":
            disputed += taken
        elif entry.state == "settled" and in_credits and job.is_continued:
            unpriced += taken - entry.credits
    if in_credits:
        kept = sum(taken_by_upstream(books, prompt, in_credits=True) for prompt in books.sandbox["submissions"])
        return Reconciliation("credits", sum(entry.credits for entry in settled), disputed, unpriced, kept)
    money = sum(entry.micros or 0 for entry in settled if entry.provider != "flow")
    return Reconciliation("millionths of a dollar", money, disputed, unpriced, books.bill_micros)
