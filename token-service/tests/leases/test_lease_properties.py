"""What holds at every moment, whatever happens in whatever order: replicas, kills, flushes, on real Redis."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from datetime import timedelta

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from flow2api_common.settings import load_settings
from flow2api_testing.waiting import eventually
from flow2api_token_service.leases.pool_index import PoolIndex
from flow2api_token_service.leases.records import KeyShare, LeaseKind, LeaseRecord, TakenLease, Verdict
from flow2api_token_service.redis_client import KEY_PREFIX, open_redis
from flow2api_token_service.settings import RedisSettings

LONG = timedelta(seconds=60)
TOKENS = {1: 1, 2: 2, 3: 3}
WEIGHTS = {"a": 1, "b": 1, "c": 3}
KEYS = st.sampled_from(sorted(WEIGHTS))

# Reads as somebody who knows nothing of our scripts: the live leases by token and kind, and whether one is overdue.
CHECK = """
local now = redis.call('TIME')
now = now[1] * 1000 + math.floor(now[2] / 1000)
local seen = {}
for _, key in ipairs(redis.call('KEYS', ARGV[1] .. ':live:*')) do
  seen[#seen + 1] = {key, redis.call('ZCOUNT', key, '(' .. now, '+inf')}
end
return cjson.encode(seen)
"""


class Waiting:
    """One caller that waits, and who was served before it since it became the first of its key."""

    def __init__(self, key: str, task: asyncio.Task) -> None:
        self.key = key
        self.task = task
        self.overtaken: Counter[str] = Counter()


def machine_of(loop: asyncio.AbstractEventLoop, redis, start_replica, entry, wish) -> type[RuleBasedStateMachine]:
    """The machine over the servers and builders of the test."""

    class Pool(RuleBasedStateMachine):
        def do(self, work):
            return loop.run_until_complete(work)

        @initialize()
        def build(self) -> None:
            self.entries = [entry(number, image_limit=limit) for number, limit in TOKENS.items()]
            self.index = PoolIndex(redis)
            self.do(self.fill())
            self.replicas = [self.start() for _ in range(3)]
            self.held: list[LeaseRecord] = []
            self.waiting: list[Waiting] = []

        def start(self):
            async def start():
                return start_replica(*self.entries)

            return self.do(start())

        async def fill(self) -> None:
            await redis.flushall()
            await self.index.put_keys([KeyShare(api_key_id=key, weight=weight) for key, weight in WEIGHTS.items()])
            await self.index.put(self.entries)
            await self.index.mark_built("epoch")

        async def until_queued(self) -> None:
            async def all_in_redis() -> bool:
                return await redis.hlen(f"{KEY_PREFIX}:wait:tickets") == len(self.waiting)

            await eventually(all_in_redis)

        @rule(key=KEYS, replica=st.integers(0, 2))
        def arrive(self, key: str, replica: int) -> None:
            async def arrive() -> None:
                request = wish(api_key_id=key, duration=LONG)
                task = asyncio.create_task(self.replicas[replica].queue.take(request, wait=LONG))
                if sum(TOKENS.values()) > len(self.held):
                    answer = await task
                    assert isinstance(answer, TakenLease), answer
                    self.held.append(answer.lease)
                else:
                    self.waiting.append(Waiting(key, task))
                    await self.until_queued()

            self.do(arrive())

        @precondition(lambda self: self.held)
        @rule(data=st.data())
        def release(self, data) -> None:
            lease = self.held.pop(data.draw(st.integers(0, len(self.held) - 1)))
            self.do(self.release_one(lease))

        async def release_one(self, lease: LeaseRecord) -> None:
            assert (await self.index.release(lease, nonce="n", verdict=Verdict.OK)).was_live
            if not self.waiting:
                return
            # Exactly one is served: at once, as nothing else can wake it before the test has an answer.
            done, _ = await asyncio.wait(
                [waiter.task for waiter in self.waiting], timeout=10, return_when=asyncio.FIRST_COMPLETED
            )
            assert len(done) == 1
            (served,) = [waiter for waiter in self.waiting if waiter.task in done]
            assert all(
                waiter is served or waiter.key != served.key for waiter in self.waiting[: self.waiting.index(served)]
            )
            self.waiting.remove(served)
            answer = served.task.result()
            assert isinstance(answer, TakenLease), answer
            self.held.append(answer.lease)
            self.count_turn(served)

        def count_turn(self, served: Waiting) -> None:
            firsts = {waiter.key: waiter for waiter in reversed(self.waiting)}
            firsts.pop(served.key, None)
            for key, first in firsts.items():
                first.overtaken[served.key] += 1
                bound = 1 + WEIGHTS[served.key] // WEIGHTS[key]
                assert first.overtaken[served.key] <= bound, (key, first.overtaken)

        @precondition(lambda self: self.held)
        @rule()
        def renew_all(self) -> None:
            assert None not in self.do(self.index.renew(self.held, LONG))

        @precondition(lambda self: self.waiting)
        @rule(data=st.data())
        def cancel(self, data) -> None:
            waiter = self.waiting.pop(data.draw(st.integers(0, len(self.waiting) - 1)))

            async def cancel() -> None:
                waiter.task.cancel()
                await asyncio.gather(waiter.task, return_exceptions=True)
                await self.until_queued()

            self.do(cancel())

        @precondition(lambda self: not self.waiting)
        @rule(replica=st.integers(0, 2))
        def kill_and_start_another(self, replica: int) -> None:
            self.do(self.replicas[replica].kill())
            self.replicas[replica] = self.start()

        @precondition(lambda self: not self.waiting)
        @rule()
        def flush(self) -> None:
            async def flush() -> None:
                await self.fill()
                # What is held comes back by its renewals, and fits.
                if self.held:
                    assert None not in await self.index.renew(self.held, LONG)

            self.do(flush())

        @precondition(lambda self: self.held)
        @rule(data=st.data())
        def let_one_lapse(self, data) -> None:
            """A holder that is killed: its lease ends by its deadline alone."""
            lease = self.held.pop(data.draw(st.integers(0, len(self.held) - 1)))

            async def lapse() -> None:
                assert (await self.index.renew([lease], timedelta(milliseconds=30))) != [None]
                if self.waiting:
                    await self.serve_lapsed()
                else:
                    await eventually(self.is_over(lease))

            self.do(lapse())

        async def serve_lapsed(self) -> None:
            done, _ = await asyncio.wait(
                [waiter.task for waiter in self.waiting], timeout=10, return_when=asyncio.FIRST_COMPLETED
            )
            assert len(done) == 1
            (served,) = [waiter for waiter in self.waiting if waiter.task in done]
            self.waiting.remove(served)
            self.held.append(served.task.result().lease)
            self.count_turn(served)

        def is_over(self, lease: LeaseRecord):
            async def is_over() -> bool:
                live = await self.index.read_live([lease.token_id])
                held = sum(one.token_id == lease.token_id for one in self.held)
                return live.tokens[lease.token_id].image_leases == held

            return is_over

        @invariant()
        def limits_hold(self) -> None:
            for key, count in json.loads(self.do(redis.eval(CHECK, 0, KEY_PREFIX)) or "[]") or ():
                _, token_id, kind = key.rsplit(":", 2)
                assert kind == LeaseKind.IMAGE
                assert count <= TOKENS[int(token_id)], key

        def teardown(self) -> None:
            if not hasattr(self, "replicas"):
                return
            try:
                while self.waiting:
                    # Nobody waits forever: whoever is in the queue comes to the front.
                    self.do(self.release_one(self.held.pop()))
            finally:
                self.do(self.stop_all())

        async def stop_all(self) -> None:
            for waiter in self.waiting:
                waiter.task.cancel()
            await asyncio.gather(*(waiter.task for waiter in self.waiting), return_exceptions=True)
            await asyncio.gather(*(replica.stop() for replica in self.replicas))

    return Pool


def test_limits_deadlines_and_fairness_hold_whatever_happens(open_replica, redis_url, entry, wish):
    with asyncio.Runner() as runner:
        loop = runner.get_loop()
        redis = open_redis(load_settings(RedisSettings, redis_url=redis_url))
        try:
            run_state_machine_as_test(
                machine_of(loop, redis, open_replica, entry, wish),
                settings=settings(
                    max_examples=50,
                    stateful_step_count=40,
                    deadline=None,
                    database=None,
                    suppress_health_check=list(HealthCheck),
                ),
            )
        finally:
            runner.run(redis.aclose())
