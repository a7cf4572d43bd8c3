"""The ledger of pictures: an entry for each, written with the request log when the generation is over.

Only what costs something is reserved before. Flow's pictures cost no credits (docs/upstream/flow.md, section 4), so
that they need no statement of their own at acceptance, and no budget refuses them.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Final

from sqlalchemy.ext.asyncio import AsyncSession

from flow2api_common.clock import Clock
from flow2api_common.errors import Flow2APIError
from flow2api_generation_service.catalog.image_plan import ImageOption
from flow2api_generation_service.catalog.prices import TokenUsage, most_input
from flow2api_generation_service.images.lines import line_of
from flow2api_generation_service.images.picture import PictureJob
from flow2api_generation_service.images.request import ImageRequest
from flow2api_generation_service.ledger.amounts import Budget, Cost, dearest
from flow2api_generation_service.ledger.book import LedgerBook, NewEntry, Placement, Record
from flow2api_generation_service.ledger.models import LedgerEntryRow
from flow2api_generation_service.ledger.states import EntryState, Fate

IMAGE: Final = "image"
_STATES: Final = {
    Fate.KEPT: EntryState.SETTLED,
    Fate.GIVEN_BACK: EntryState.RELEASED,
    Fate.UNKNOWN: EntryState.DISPUTED,
}


@dataclass(frozen=True, slots=True)
class PictureCharge:
    """What one picture has cost in the end, where, and why; ``output_count`` is 1 for one that was made."""

    index: int
    api_key_id: str
    model_id: str
    cost: Cost
    fate: Fate
    reason: str
    placement: Placement
    output_count: int


def most_for(request: ImageRequest) -> Cost:
    """The most that one picture of a request can cost."""
    usage = most_input([request.prompt], len(request.pictures))
    return dearest([cost_of(option, usage) for option in request.plan.options])


def most_on(option: ImageOption, request: ImageRequest) -> Cost:
    """The most that one picture of a request can cost on a route."""
    return cost_of(option, most_input([request.prompt], len(request.pictures)))


def cost_of(option: ImageOption, usage: TokenUsage) -> Cost:
    """What a picture costs on a route."""
    price = option.price
    return Cost(option.credits, price.of_image(option.generate_resolution, usage) if price else None)


def charge_of(job: PictureJob, error: Flow2APIError | None) -> PictureCharge:
    """How a picture stands that was made, or that ended with this error.

    What the upstream has counted of it decides its cost; as long as that is not known, the estimate does.
    """
    option = job.option
    cost = Cost() if option is None else cost_of(option, job.usage or _most_input(job))
    if error is None or error.metadata.get("paid") == "true":
        fate = Fate.KEPT
    else:
        fate = Fate.UNKNOWN if job.is_in_doubt and not cost.is_free else Fate.GIVEN_BACK
    return PictureCharge(
        index=job.index,
        api_key_id=job.request.api_key_id,
        model_id=job.request.model_id,
        cost=cost,
        fate=fate,
        reason="completed" if error is None else error.reason.lower(),
        placement=Placement(
            token_id=job.token_id,
            provider=option.provider if option else None,
            upstream_model=option.upstream_model if option else None,
        ),
        output_count=int(error is None),
    )


def _most_input(job: PictureJob) -> TokenUsage:
    return most_input([job.request.prompt], len(job.request.pictures))


@dataclass(frozen=True, slots=True)
class ClosedGeneration:
    """How pictures of a generation ended; ``is_reserved`` says whether the ledger has their entries already."""

    generation_id: str
    charges: Sequence[PictureCharge]
    is_reserved: bool


class ImageCharges:
    """Writes the entries of pictures, within one session."""

    def __init__(self, session: AsyncSession, *, clock: Clock) -> None:
        self._book = LedgerBook(session, clock=clock)

    def together(self) -> AbstractAsyncContextManager[None]:
        """Inside the block, what is reserved and closed is written with few statements at its end."""
        return self._book.together()

    async def reserve(self, generation_id: str, request: ImageRequest, budget: Budget) -> None:
        """Reserve the most that its pictures can cost. Raises CapacityError DAILY_BUDGET_EXHAUSTED."""
        cost = most_for(request)
        entries = [
            NewEntry(generation_id, line_of(index), IMAGE, request.api_key_id, request.model_id, cost)
            for index in range(request.image_count)
        ]
        await self._book.reserve(entries, budget)

    async def give_back(self, generation_id: str) -> None:
        """Release everything of a generation that has not begun."""
        for row in await self._book.entries(generation_id):
            await self._book.release(row, reason="not_begun")

    async def close(self, generation_id: str, charges: Sequence[PictureCharge], *, is_reserved: bool) -> None:
        """Write down how pictures of a generation have ended."""
        await self.close_all([ClosedGeneration(generation_id, charges, is_reserved)])

    async def close_all(self, generations: Sequence[ClosedGeneration]) -> None:
        """The same of many generations, with few statements."""
        reserved = [each for each in generations if each.is_reserved]
        records = [
            _record(each.generation_id, charge)
            for each in generations
            if not each.is_reserved
            for charge in each.charges
        ]
        ids = [each.generation_id for each in reserved]
        rows = {(row.generation_id, row.line): row for row in await self._book.entries(*ids)} if ids else {}
        async with self.together():
            if records:
                await self._book.add(records)
            for each in reserved:
                for charge in each.charges:
                    row = rows.get((each.generation_id, line_of(charge.index)))
                    if row is not None:
                        await self._close(row, charge)

    async def _close(self, row: LedgerEntryRow, charge: PictureCharge) -> None:
        match charge.fate:
            case Fate.KEPT:
                await self._book.settle(
                    row,
                    reason=charge.reason,
                    cost=charge.cost,
                    placement=charge.placement,
                    output_count=charge.output_count,
                )
            case Fate.GIVEN_BACK:
                await self._book.release(row, reason=charge.reason, placement=charge.placement)
            case _:
                await self._book.dispute(row, reason=charge.reason, placement=charge.placement)


def _record(generation_id: str, charge: PictureCharge) -> Record:
    entry = NewEntry(generation_id, line_of(charge.index), IMAGE, charge.api_key_id, charge.model_id, charge.cost)
    return Record(entry, _STATES[charge.fate], charge.reason, charge.placement, charge.output_count)
