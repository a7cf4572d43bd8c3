"""Whether a generation may begin now: caps of the settings, and quotas."""

from collections.abc import Iterator
from contextlib import contextmanager

from flow2api_sandbox.calls import Call
from flow2api_sandbox.credentials import Caller, Work
from flow2api_sandbox.errors import ApiError
from flow2api_sandbox.ledger import GenerationKind
from flow2api_sandbox.quotas import QuotaKey, quota_error


def admit(call: Call, caller: Caller, kind: GenerationKind, model: str) -> QuotaKey:
    """Count a generation as running against its quotas. Whoever calls this has it end, or held until it does.

    Raises ApiError 429 when the credential runs as many as the settings allow, or a quota is used up.
    """
    world = call.world
    key = QuotaKey(caller.project, caller.location, model)
    cap = world.settings.video_cap if kind is GenerationKind.VIDEO else world.settings.image_cap
    world.settle_credential(caller.credential)
    try:
        if cap is not None and caller.credential.watch.running[kind] >= cap:
            raise quota_error(key, "PerMinute", cap, retry_after=1)
        world.quotas.begin(key, world.clock.now())
    except ApiError as error:
        if ".interaction" in call.route:
            is_daily = "PerDay" in (error.reason or "")
            error.reason = "quota_exceeded" if is_daily else "rate_limit_exceeded"
        raise
    return key


def begin_work(call: Call, caller: Caller, key: QuotaKey, work: Work) -> None:
    """An admitted generation goes on after the answer: it counts until it is over, and is on the bill."""
    world = call.world
    world.quotas.hold(key, work)
    world.charge_money(work.charge, prompt=work.prompt, route=work.route)
    caller.credential.running.append(work)
    caller.credential.watch.enter(work.kind)


@contextmanager
def admitted(call: Call, caller: Caller, kind: GenerationKind, model: str) -> Iterator[None]:
    """`admit` for a generation that ends with the block."""
    key = admit(call, caller, kind, model)
    caller.credential.watch.enter(kind)
    try:
        yield
    finally:
        caller.credential.watch.leave(kind)
        call.world.quotas.end(key)
