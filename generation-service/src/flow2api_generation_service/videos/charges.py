"""The ledger of a video: which of its entries move when the job does.

A video has an entry for its clip and, where the clip is enlarged, one for the enlargement. The upstream takes the
price when it accepts a call and gives it back when the generation fails or is filtered (docs/upstream/flow.md, sections
4 and 8). So an entry ends with what the upstream has reported of its call, also when its job has ended before: a job
that is cancelled after its submission is still followed, and its entry with it.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy.ext.asyncio import AsyncSession

from flow2api_common.clock import Clock
from flow2api_generation_service.catalog.prices import PriceBook, TokenUsage, most_input
from flow2api_generation_service.catalog.video_plan import VideoOption, VideoPlan
from flow2api_generation_service.ledger.amounts import Budget, Cost, dearest
from flow2api_generation_service.ledger.book import LedgerBook, NewEntry, Placement, Record, main_entry
from flow2api_generation_service.ledger.models import LedgerEntryRow
from flow2api_generation_service.ledger.states import EntryState, Fate
from flow2api_generation_service.videos.models import JobRow
from flow2api_generation_service.videos.states import Stage
from flow2api_proto.events.v1 import video_events_pb2
from flow2api_upstream.port import VideoKind

VIDEO: Final = "video"
LINES: Final = {Stage.GENERATE: "generate", Stage.UPSCALE: "upscale"}


class VideoCharges:
    """Moves the entries of videos, within one session."""

    def __init__(self, session: AsyncSession, *, clock: Clock) -> None:
        self._book = LedgerBook(session, clock=clock)

    async def reserve(self, job: JobRow, plan: VideoPlan, budget: Budget) -> None:
        """Reserve the most that the plan can cost. Raises CapacityError DAILY_BUDGET_EXHAUSTED."""
        costs = [dearest_clip(option, plan, job) for option in plan.options]
        entries = [self._entry(job, Stage.GENERATE, dearest(costs))]
        if any(option.upsampler_model for option in plan.options):
            entries.append(self._entry(job, Stage.UPSCALE, Cost(max(o.upscale_credits for o in plan.options))))
        await self._book.reserve(entries, budget)

    async def accepted(
        self, video_id: str, stage: Stage, *, placement: Placement, cost: Cost | None
    ) -> LedgerEntryRow | None:
        """The upstream has accepted a call, and taken its price."""
        row = main_entry(await self._book.entries(video_id), LINES[stage], placement.attempt_id)
        if row is not None:
            await self._book.charge(row, placement, cost)
        return row

    async def refused(self, video_id: str, stage: Stage, attempt_id: str) -> None:
        """A call that was thought to be possibly accepted when its job ended, was refused."""
        row = main_entry(await self._book.entries(video_id), LINES[stage], attempt_id)
        if row is not None and row.state == EntryState.DISPUTED and row.attempt_id == attempt_id:
            await self._book.release(row, reason="refused")

    async def repeated_in_doubt(self, job: JobRow) -> None:
        """The call of an attempt is made again although the upstream may have accepted it: an entry more."""
        if job.submit_started_at is None:
            return
        entry = self._entry(job, Stage.GENERATE, Cost(job.credits or 0, job.micros), suffix=f":{job.attempt_count}")
        await self._book.add([Record(entry, EntryState.DISPUTED, "submission_unknown", _placement_of(job))])

    async def clip_made(self, job: JobRow) -> None:
        """The first stage is done upstream, and the second follows."""
        await self._reported(job.video_id, Stage.GENERATE, Fate.KEPT, reason="made")

    async def not_enlarged(self, job: JobRow) -> None:
        """The enlargement is given up for a reason of ours, or because its call was refused or not answered.

        ``job`` is as it was before. An enlargement that the upstream works on is followed to its end.
        """
        row = main_entry(await self._book.entries(job.video_id), LINES[Stage.UPSCALE])
        if row is None or row.state != EntryState.RESERVED:
            return
        if job.submit_started_at is not None and job.operation_handle is None:
            await self._book.dispute(row, reason="submission_unknown", placement=_placement_of(job))
        else:
            await self._book.release(row, reason="not_enlarged")

    async def completed(self, job: JobRow) -> None:
        """The clip is there."""
        for row in await self._book.entries(job.video_id):
            if row.line not in LINES.values():
                continue
            if row.line == LINES[Stage(job.stage)] and row.state != EntryState.SETTLED:
                await self._settle(row, "completed")
            elif row.state == EntryState.RESERVED:
                await self._book.release(row, reason="not_used")

    async def ended(self, job: JobRow, fate: Fate, *, reason: str) -> None:
        """The job has ended badly. ``fate`` is that of a charge that the upstream has taken."""
        for row in await self._book.entries(job.video_id):
            line_is_asked = row.line == LINES[Stage(job.stage)] and job.submit_started_at is not None
            if row.state == EntryState.RESERVED and line_is_asked and job.operation_handle is None:
                await self._book.dispute(row, reason=reason, placement=_placement_of(job))
            elif row.state == EntryState.RESERVED:
                await self._book.release(row, reason=reason)
            elif row.state == EntryState.CHARGED and row.line in LINES.values():
                await self._close(row, fate, reason=reason)

    async def reported(self, event: video_events_pb2.VideoEvent) -> None:
        """What the upstream has told about a call, whatever became of its job meanwhile."""
        stage = Stage(event.stage)
        match event.WhichOneof("event"):
            case "stored":
                await self._reported(event.video_id, stage, Fate.KEPT, reason="completed")
            case "stage_done":
                await self._reported(event.video_id, stage, Fate.KEPT, reason="made")
            case "failed":
                await self._reported(event.video_id, stage, fate_of(event.failed), reason=event.failed.code)

    async def counted(self, event: video_events_pb2.VideoEvent, prices: PriceBook) -> None:
        """Where an event tells the tokens of a call that is sold by them, they decide what it costs."""
        if not event.HasField("counted_tokens"):
            return
        row = main_entry(await self._book.entries(event.video_id), LINES[Stage(event.stage)])
        price = prices.find(row.provider or "", row.upstream_model or "") if row is not None else None
        if row is None or price is None:
            return
        tokens = event.counted_tokens
        micros = price.of_tokens(TokenUsage(tokens.input_tokens or None, tokens.output_tokens or None))
        if micros is not None:
            await self._book.recount(row, Cost(row.credits, micros))

    async def _reported(self, video_id: str, stage: Stage, fate: Fate, *, reason: str) -> None:
        row = main_entry(await self._book.entries(video_id), LINES[stage])
        if row is not None and row.state in {EntryState.CHARGED, EntryState.DISPUTED}:
            await self._close(row, fate, reason=reason)

    async def _close(self, row: LedgerEntryRow, fate: Fate, *, reason: str) -> None:
        match fate:
            case Fate.KEPT:
                await self._settle(row, reason)
            case Fate.GIVEN_BACK:
                await self._book.release(row, reason=reason)
            case Fate.UNKNOWN:
                await self._book.dispute(row, reason=reason)
            case Fate.FOLLOWED:
                pass

    async def _settle(self, row: LedgerEntryRow, reason: str) -> None:
        # An enlarged clip is one video, and its first stage counts it.
        await self._book.settle(row, reason=reason, output_count=int(row.line == LINES[Stage.GENERATE]))

    def _entry(self, job: JobRow, stage: Stage, cost: Cost, *, suffix: str = "") -> NewEntry:
        return NewEntry(job.video_id, LINES[stage] + suffix, VIDEO, job.api_key_id, job.model_id, cost)


def dearest_clip(option: VideoOption, plan: VideoPlan, job: JobRow) -> Cost:
    """The most that the clip of a job can cost by this option, without its enlargement."""
    return Cost(max(option.credits_by_tier.values()), clip_micros(option, plan, job))


def clip_micros(option: VideoOption, plan: VideoPlan, job: JobRow) -> int | None:
    """What the clip of a job costs by this option in money, as long as the upstream has not counted; None where it
    costs none."""
    if option.price is None:
        return None
    usage = most_input([job.prompt, job.negative_prompt], len(plan.image_order))
    is_extension = plan.kind is VideoKind.EXTEND
    return option.price.of_video(plan.resolution, plan.duration_seconds, usage, is_extension=is_extension)


def fate_of(failed: video_events_pb2.VideoFailed) -> Fate:
    """What a bad end means for the charge."""
    if failed.refunded:
        return Fate.GIVEN_BACK
    return Fate.KEPT if failed.charge_kept else Fate.UNKNOWN


def _placement_of(job: JobRow) -> Placement:
    return Placement(
        token_id=job.token_id,
        provider=job.provider,
        upstream_model=job.upstream_model,
        attempt_id=job.attempt_id,
    )
