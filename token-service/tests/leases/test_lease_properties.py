"""What holds at every moment, whatever happens in whatever order, on real Redis and with several replicas.

* The live leases of a token and kind never exceed its limit, also while limits change: looked at around every script,
  inside the atomic step of Redis (`flow2api_testing.pool_watch`).
* No lease outlives its deadline: each ends, on Redis's clock, when its holder was told that it would, and a lease that
  is past it is in nobody's way.
* Nobody waits while there is room, and nobody waits forever: also when Redis is flushed, killed and restarted, or a
  replica is killed; its callers then come back to another one.
* Waiting is fair, within the bound of ``leases/queue.py`` and ``scripts/_queue.lua``.

The test moves the time; it waits for nothing but answers. ``--hypothesis-profile=thorough`` looks for much longer.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import wraps
from itertools import chain
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, get_state_machine_test, initialize, invariant, rule

from flow2api_common.errors import DependencyUnavailable
from flow2api_common.ids import new_id
from flow2api_common.settings import load_settings
from flow2api_testing.own_redis import OwnRedis
from flow2api_testing.pool_time import PoolTime
from flow2api_testing.pool_watch import VIOLATIONS_KEY, PoolWatch
from flow2api_testing.waiting import eventually
from flow2api_token_service.leases import queue
from flow2api_token_service.leases.pool_index import PoolIndex
from flow2api_token_service.leases.records import LeaseKind, LeaseRecord, Refusal, RefusalReason, TakenLease, Verdict
from flow2api_token_service.redis_client import KEY_PREFIX, open_redis
from flow2api_token_service.settings import RedisSettings

PATIENCE = timedelta(minutes=5)
LEASE = timedelta(seconds=10)
STEP = timedelta(seconds=4)
"""Shorter than what a waiter lives without a beat, and than a lease without a renewal."""
UNTIL_FORGOTTEN = 6
"""After so many steps nothing is left of a replica that was killed: its waiters, its offers, its leases."""
LIMITS = {1: (1, 1), 2: (2, 1), 3: (1, 0)}
WEIGHTS = {"a": 1, "b": 2, "c": 3, "d": 1}
KEYS = st.sampled_from(sorted(WEIGHTS))
KINDS = st.sampled_from(list(LeaseKind))
REPLICAS = st.integers(0, 2)
# What is drawn never depends on what the pool did: that is not the same each time, and hypothesis must replay it.
PICKS = st.integers(0, 63)


@dataclass(eq=False)
class Caller:
    """Somebody who wants a lease, and asks again when its replica or Redis is away."""

    key: str
    kind: LeaseKind
    replica: int
    request_id: str = field(default_factory=lambda: new_id("request"))
    ticket: str = ""
    times_refused: int = 0
    pauses: list[timedelta | None] = field(default_factory=list)
    task: asyncio.Task[TakenLease] = field(init=False)
    overtaken: Counter[str] = field(default_factory=Counter)

    @property
    def line(self) -> tuple[str, LeaseKind]:
        return self.key, self.kind


def happens(**drawn: Any) -> Callable[[Callable[..., None]], Any]:
    """A rule that is written down: a failure that is not the same again is told with its steps all the same."""

    def decorate(function: Callable[..., None]) -> Any:
        @wraps(function)
        def step(self: Pool, **values: Any) -> None:
            self.steps.append(f"{function.__name__}({values})")
            function(self, **values)

        return rule(**drawn)(step)

    return decorate


class Pool(RuleBasedStateMachine):
    """The machine; the test gives it what it works with."""

    run: Callable[[Coroutine[Any, Any, Any]], Any]
    server: OwnRedis
    time: PoolTime
    watch: PoolWatch
    open_replica: Any
    entry: Any
    wish: Any

    def do(self, work: Coroutine[Any, Any, Any]) -> None:
        try:
            self.run(work)
        except BaseException:
            print("steps until the failure:", *self.steps, sep="\n  ")  # noqa: T201 - pytest shows it with the failure
            raise

    @initialize()
    def build(self) -> None:
        self.steps: list[str] = []
        self.do(self._build())

    async def _build(self) -> None:
        self.redis = open_redis(load_settings(RedisSettings, redis_url=self.server.url))
        self.index = PoolIndex(self.redis)
        await self.redis.flushall()
        self.stored = {number: self.entry(number, image_limit=i, video_limit=v) for number, (i, v) in LIMITS.items()}
        self.watch.limits = {number: {"image": i, "video": v} for number, (i, v) in LIMITS.items()}
        self.replicas = [self.start() for _ in range(3)]
        self.held: dict[str, tuple[LeaseRecord, datetime]] = {}
        self.dead: dict[str, tuple[LeaseRecord, datetime]] = {}
        self.waiting: list[Caller] = []
        self.lines: dict[str, set[LeaseKind]] = {key: set() for key in WEIGHTS}
        self.ghosts_for = 0
        self.is_ordered = True

    def start(self) -> Any:
        return self.open_replica(url=self.server.url, weights=WEIGHTS, stored=self.stored)

    # What callers and holders do.

    async def call(self, caller: Caller) -> TakenLease:
        while True:
            caller.ticket = new_id("lease")
            wish = self.wish(
                lease_id=caller.ticket,
                request_id=caller.request_id,
                api_key_id=caller.key,
                kind=caller.kind,
                duration=LEASE,
            )
            try:
                answer = await self.replicas[caller.replica].queue.take(wish, wait=PATIENCE)
            except DependencyUnavailable as error:
                caller.pauses.append(error.retry_after)
                caller.times_refused += 1
                caller.replica = (caller.replica + 1) % 3
                await asyncio.sleep(0.01)
            else:
                assert isinstance(answer, TakenLease), answer
                assert None not in caller.pauses, "each refusal says when to come back"
                return answer

    async def begin(self, caller: Caller) -> None:
        caller.task = asyncio.create_task(self.call(caller))
        self.waiting.append(caller)
        self.lines[caller.key].add(caller.kind)

    async def settle(self) -> list[Caller]:
        """Return when everybody has a lease or stands in the queue; gives who was served."""

        async def all_in_place() -> bool:
            tickets = set(await self.redis.hkeys(f"{KEY_PREFIX}:wait:tickets"))
            wanted = {caller.ticket for caller in self.waiting if not caller.task.done()}
            return wanted <= tickets if self.ghosts_for else wanted == tickets

        await eventually(all_in_place, timeout=20)
        served = [caller for caller in self.waiting if caller.task.done()]
        for caller in served:
            taken = caller.task.result()
            self.held[taken.lease.lease_id] = (taken.lease, taken.expire_time)
        self.waiting = [caller for caller in self.waiting if caller not in served]
        if not self.waiting:
            self.is_ordered = True
            self.lines = {key: set() for key in WEIGHTS}
        self.count_turns(served)
        await self.nobody_waits_beside_room()
        return served

    def count_turns(self, served: list[Caller]) -> None:
        if len(served) != 1 or self.ghosts_for or not self.is_ordered:
            # Who was served before whom is not to be seen.
            for waiter in self.waiting:
                waiter.overtaken.clear()
            return
        (winner,) = served
        firsts = {waiter.line: waiter for waiter in reversed(self.waiting) if waiter.kind is winner.kind}
        firsts.pop(winner.line, None)
        for first in firsts.values():
            first.overtaken[winner.key] += 1
            ours, theirs = len(self.lines[first.key]), len(self.lines[winner.key])
            bound = theirs + ours * WEIGHTS[winner.key] // WEIGHTS[first.key]
            assert first.overtaken[winner.key] <= bound, (first.line, winner.line, first.overtaken, bound)

    async def nobody_waits_beside_room(self) -> None:
        for kind in {caller.kind for caller in self.waiting}:
            for token_id, limits in self.watch.limits.items():
                live = await self.redis.zcard(f"{KEY_PREFIX}:live:{token_id}:{kind}")
                assert 0 <= limits[kind] <= live, f"room for {kind} on {token_id}, and somebody waits"

    async def renew(self) -> list[str]:
        """Renew all that is held; gives the ids of what is lost."""
        leases = [lease for lease, _ in self.held.values()]
        deadlines = await self.with_index(lambda: self.index.renew(leases, LEASE)) if leases else []
        lost = []
        for lease, deadline in zip(leases, deadlines, strict=True):
            if deadline is None:
                del self.held[lease.lease_id]
                lost.append(lease.lease_id)
            else:
                self.held[lease.lease_id] = (lease, deadline)
        return lost

    async def with_index(self, call: Callable[[], Awaitable[Any]]) -> Any:
        """As the service does around renewing and sweeping: whoever finds the index missing builds it."""
        return await self.replicas[0].queue._builder.with_index(call)

    def pick_held(self, pick: int) -> tuple[LeaseRecord, datetime]:
        return self.held.pop(list(self.held)[pick % len(self.held)])

    # What happens.

    @happens(key=KEYS, kind=KINDS, replica=REPLICAS)
    def arrive(self, key: str, kind: LeaseKind, replica: int) -> None:
        async def arrive() -> None:
            await self.begin(Caller(key, kind, replica))
            await self.settle()

        self.do(arrive())

    @happens(key=KEYS, kind=KINDS, replica=REPLICAS)
    def ask_without_patience(self, key: str, kind: LeaseKind, replica: int) -> None:
        async def ask() -> None:
            wish = self.wish(api_key_id=key, kind=kind, duration=LEASE)
            answer = await self.replicas[replica].queue.take(wish, wait=timedelta(milliseconds=20))
            if isinstance(answer, Refusal):
                assert answer.reason is RefusalReason.BUSY
                await self.nobody_waits_beside_room()
            else:
                self.held[answer.lease.lease_id] = (answer.lease, answer.expire_time)
            self.lines[key].add(kind)
            await self.settle()

        self.do(ask())

    @happens(pick=PICKS)
    def release(self, pick: int) -> None:
        if self.held:
            self.do(self.release_one(self.pick_held(pick)[0]))

    async def release_one(self, lease: LeaseRecord) -> None:
        assert (await self.index.release(lease, nonce=lease.lease_id, verdict=Verdict.OK)).was_live
        waiting = list(self.waiting)
        for served in await self.settle():
            before = waiting[: waiting.index(served)]
            assert not self.is_ordered or self.ghosts_for or all(earlier.line != served.line for earlier in before)

    @happens(pick=PICKS)
    def go_away(self, pick: int) -> None:
        async def cancel() -> None:
            caller = self.waiting.pop(pick % len(self.waiting))
            caller.task.cancel()
            await asyncio.gather(caller.task, return_exceptions=True)
            await self.settle()

        if self.waiting:
            self.do(cancel())

    @happens(pick=PICKS)
    def kill_a_holder(self, pick: int) -> None:
        if self.held:
            lease, deadline = self.pick_held(pick)
            self.dead[lease.lease_id] = (lease, deadline)

    @happens(steps=st.integers(1, UNTIL_FORGOTTEN))
    def let_time_pass(self, steps: int) -> None:
        async def pass_time() -> None:
            for _ in range(steps):
                await self.one_step()

        self.do(pass_time())

    async def one_step(self) -> None:
        self.time.advance(STEP)
        assert not await self.renew()
        await self.until_all_have_beaten()
        before = await self.redis_time()
        while await self.with_index(self.index.sweep):
            pass
        over = [lease_id for lease_id, (_, deadline) in self.dead.items() if deadline <= before]
        for lease_id in over:
            lease, _ = self.dead.pop(lease_id)
            assert not (await self.index.release(lease, nonce="late", verdict=Verdict.NEUTRAL)).was_live
        self.ghosts_for = max(0, self.ghosts_for - 1)
        await self.settle()

    async def until_all_have_beaten(self) -> None:
        """So that the waiters of living replicas live on, and only they."""

        async def are_kept() -> bool:
            now = (await self.redis_time()).timestamp() * 1000
            until = dict(await self.redis.zrange(f"{KEY_PREFIX}:wait:until", 0, -1, withscores=True))
            served = {caller.ticket for caller in self.waiting if caller.task.done()}
            wanted = {caller.ticket for caller in self.waiting} - served
            return all(until.get(ticket, 0) > now + 4000 for ticket in wanted)

        await eventually(are_kept)

    async def redis_time(self) -> datetime:
        seconds, microseconds = await self.redis.time()
        return datetime.fromtimestamp(seconds, UTC) + timedelta(microseconds=microseconds) + self.time.ahead

    @happens(token_id=st.sampled_from(sorted(LIMITS)), kind=KINDS, limit=st.sampled_from([-1, 0, 1, 2, 3]))
    def change_a_limit(self, token_id: int, kind: LeaseKind, limit: int) -> None:
        if token_id == 1 and limit == 0:
            return  # One token serves always: else those who wait are told that it is hopeless.

        async def change() -> None:
            old = self.stored[token_id]
            change = {"image_limit" if kind is LeaseKind.IMAGE else "video_limit": limit}
            self.stored[token_id] = replace(old, revision=old.revision + 1, **change)
            watched = self.watch.limits[token_id]
            watched[kind] = -1 if -1 in (watched[kind], limit) else max(watched[kind], limit)
            await self.index.put([self.stored[token_id]])
            watched[kind] = limit
            await self.settle()

        self.do(change())

    @happens(replica=REPLICAS)
    def kill_a_replica(self, replica: int) -> None:
        async def kill() -> None:
            dying = self.replicas[replica]
            self.replicas[replica] = self.start()
            self.lose_sight()
            await dying.kill()
            await self.settle()

        self.do(kill())

    def lose_sight(self) -> None:
        """From here on there may be waiters, offers and leases in Redis whose caller is somewhere else by now."""
        self.ghosts_for = UNTIL_FORGOTTEN
        self.is_ordered = not self.waiting

    @happens(renews_at_once=st.booleans())
    def flush(self, renews_at_once: bool) -> None:
        async def flush() -> None:
            await self.check_violations()
            self.is_ordered = not self.waiting
            await self.redis.flushall()
            await self.come_back(renews_at_once=renews_at_once)

        self.do(flush())

    async def come_back(self, *, renews_at_once: bool) -> None:
        """Redis is empty: what is held comes back by its renewals, or its holder is told that it is lost."""
        if renews_at_once:
            await asyncio.gather(self.renew(), self.settle())
        else:
            await self.settle()
            await self.renew()
        self.dead.clear()
        await self.settle()

    @happens(loses_data=st.booleans())
    def restart_redis(self, loses_data: bool) -> None:
        async def restart() -> None:
            await self.check_violations()
            refused = {caller: caller.times_refused for caller in self.waiting}
            self.server.kill(loses_data=loses_data)
            # Away: nobody is left hanging, and whoever comes is told.
            await eventually(lambda: all(caller.times_refused > before for caller, before in refused.items()))
            with pytest.raises(DependencyUnavailable) as caught:
                await self.replicas[0].queue.take(self.wish(), wait=PATIENCE)
            assert caught.value.retry_after is not None
            self.server.start()
            self.lose_sight()
            if loses_data:
                await self.come_back(renews_at_once=True)
            await self.settle()

        self.do(restart())

    @happens(
        arrivals=st.lists(st.tuples(KEYS, KINDS, REPLICAS), max_size=6),
        releases=st.lists(PICKS, max_size=4),
        kill=st.none() | REPLICAS,
    )
    def all_at_once(self, arrivals: list[tuple[str, LeaseKind, int]], releases: list[int], kill: int | None) -> None:
        async def storm() -> None:
            self.is_ordered = False
            leases = [self.pick_held(pick)[0] for pick in releases[: len(self.held)]]
            work: list[Awaitable[Any]] = [self.begin(Caller(*arrival)) for arrival in arrivals]
            work += [self.index.release(lease, nonce=lease.lease_id, verdict=Verdict.OK) for lease in leases]
            if kill is not None:
                dying, self.replicas[kill] = self.replicas[kill], self.start()
                self.ghosts_for = UNTIL_FORGOTTEN
                work.append(dying.kill())
            work.append(self.renew())
            await asyncio.gather(*work)
            await self.settle()

        self.do(storm())

    # What holds.

    @invariant()
    def nothing_was_violated(self) -> None:
        self.do(self.check_violations())

    async def check_violations(self) -> None:
        violations = await self.redis.lrange(VIOLATIONS_KEY, 0, -1)
        assert not violations, violations

    @invariant()
    def leases_end_when_their_holders_were_told(self) -> None:
        async def check() -> None:
            for kind in LeaseKind:
                for lease_id, deadline in await self.redis.zrange(
                    f"{KEY_PREFIX}:deadlines:{kind}", 0, -1, withscores=True
                ):
                    known = self.held.get(lease_id) or self.dead.get(lease_id)
                    assert not known or abs(known[1].timestamp() * 1000 - deadline) < 1
            if not self.ghosts_for:
                await eventually(nobody_holds_others)

        async def nobody_holds_others() -> bool:
            # What a caller who has gone was about to get is given back in the background.
            known = {*self.held, *self.dead}
            live = [await self.redis.zrange(f"{KEY_PREFIX}:deadlines:{kind}", 0, -1) for kind in LeaseKind]
            return known.issuperset(chain.from_iterable(live))

        self.do(check())

    def teardown(self) -> None:
        if not hasattr(self, "replicas"):
            return
        try:
            self.do(self.serve_all())
        finally:
            self.do(self.stop_all())

    async def serve_all(self) -> None:
        """Nobody waits forever: when each holder has done its work once, everybody has been served."""
        for _ in range(UNTIL_FORGOTTEN):
            await self.one_step()
        while self.held:
            await self.release_one(self.held.pop(next(iter(self.held)))[0])
        assert not self.waiting
        for _ in range(UNTIL_FORGOTTEN):
            await self.one_step()
        left = [key async for key in self.redis.scan_iter(f"{KEY_PREFIX}:*")]
        kept = {"tokens", "token", "free", "able", "of", "epoch", "building", "sequence", "stats", "strategy"}
        kept |= {"keylimits", "keyweights", "keyrevisions"}
        without_end = [key for key in left if key.split(":")[1] not in kept and await self.redis.ttl(key) < 0]
        assert not without_end

    async def stop_all(self) -> None:
        for caller in self.waiting:
            caller.task.cancel()
        await asyncio.gather(*(caller.task for caller in self.waiting), return_exceptions=True)
        await asyncio.gather(*(replica.stop() for replica in self.replicas))
        await self.redis.aclose()


@pytest.mark.timeout(3600)
def test_limits_deadlines_and_fairness_hold_whatever_happens(
    open_replica, own_redis, entry, wish, pool_time, pool_watch, monkeypatch, request
):
    monkeypatch.setattr(queue, "_BEAT", timedelta(milliseconds=20))
    number = int(request.config.getoption("hypothesis_seed", None) or random.getrandbits(32))
    print(f"to see the same again: --hypothesis-seed={number}")  # noqa: T201 - pytest shows it with a failure
    with asyncio.Runner() as runner:
        loop = runner.get_loop()
        parts = {
            "run": staticmethod(loop.run_until_complete),
            "server": own_redis,
            "time": pool_time,
            "watch": pool_watch,
            "open_replica": staticmethod(open_replica),
            "entry": staticmethod(entry),
            "wish": staticmethod(wish),
        }
        machine = type("Machine", (Pool,), parts)
        # Shrinking takes minutes; a failure names its steps and its seed also without.
        quick = {"max_examples": 25, "stateful_step_count": 30, "phases": (Phase.generate,)}
        chosen = settings(
            deadline=None,
            database=None,
            print_blob=True,
            report_multiple_bugs=False,
            suppress_health_check=list(HealthCheck),
            **({} if is_thorough() else quick),
        )
        seed(number)(get_state_machine_test(machine, settings=chosen))()


def is_thorough() -> bool:
    return settings.get_current_profile_name() == "thorough"
