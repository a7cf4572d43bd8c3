"""Routes and settings that are changed while the service runs: on SQLite and PostgreSQL, seen by every replica."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from flow2api_common.database import Database
from flow2api_common.errors import DependencyUnavailable, InvalidArgument, NotFound, UpstreamUnavailable
from flow2api_generation_service.catalog.arrangement import RouteId
from flow2api_generation_service.catalog.catalog import Catalog, load_catalog
from flow2api_generation_service.catalog.image_plan import ImageFacts
from flow2api_generation_service.catalog.video_plan import VideoFacts
from flow2api_generation_service.runtime.live_settings import CHANGEABLE, LiveSettings
from flow2api_generation_service.runtime.routes import Routes
from flow2api_generation_service.runtime.store import SettingStore
from flow2api_generation_service.settings import GenerationServiceSettings
from flow2api_testing.waiting import eventually

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
DAY = timedelta(days=1)
VEO = RouteId("vertex", "veo-3.1-fast-generate-001")


class PoolStandIn:
    """Notes what it is asked; ``newest`` is when an account came last, by provider."""

    def __init__(self) -> None:
        self.newest: dict[str, datetime] = {}
        self.asked_again: list[RouteId] = []
        self.is_away = False

    async def has_new_account(self, provider: str, since: datetime) -> bool:
        if self.is_away:
            raise DependencyUnavailable("away")
        return provider in self.newest and self.newest[provider] > since

    async def forget_absence(self, provider: str, upstream_model: str) -> None:
        if self.is_away:
            raise DependencyUnavailable("away")
        self.asked_again.append(RouteId(provider, upstream_model))


class Replica:
    """What one replica knows."""

    def __init__(self, database: Database) -> None:
        self.now = NOW
        self.pool = PoolStandIn()
        self.catalog: Catalog = load_catalog()
        self.store = SettingStore(database=database, clock=lambda: self.now, interval=timedelta(milliseconds=20))
        self.routes = Routes(
            catalog=self.catalog,
            store=self.store,
            pool=self.pool,
            clock=lambda: self.now,
            gone_pause=DAY,
            interval=timedelta(milliseconds=20),
        )

    def video_providers(self, **facts: Any) -> list[str]:
        return [option.provider for option in self.catalog.plan_video(VideoFacts("veo-3.1-fast", **facts)).options]


@pytest.fixture
def replica(database: Database) -> Replica:
    return Replica(database)


async def test_a_switch_reaches_every_replica_and_can_be_taken_back(replica: Replica, database: Database) -> None:
    other = Replica(database)
    following = asyncio.create_task(other.store.run())
    try:
        (model, *_) = await replica.routes.switch(VEO, is_on=False, reason="too dear", actor="admin:a")
        assert model.model_id == "veo-3.1-fast"
        assert replica.video_providers() == ["flow"]
        await eventually(lambda: other.video_providers() == ["flow"], timeout=1)
        await replica.routes.switch(VEO, is_on=True, reason="", actor="admin:b")
        await eventually(lambda: other.video_providers() == ["vertex", "flow"], timeout=1)
    finally:
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
    newest, oldest = await replica.store.changes(before_id=None, limit=10)
    assert (oldest.name, oldest.actor, oldest.before, oldest.after) == (
        f"route:{VEO}",
        "admin:a",
        None,
        {"reason": "too dear"},
    )
    assert (newest.actor, newest.after) == ("admin:b", None)


async def test_a_model_says_what_its_other_routes_can_do(replica: Replica) -> None:
    assert "16:9" in replica.catalog.resolve("gemini-3.1-flash-image").aspect_ratios
    for provider in ("gemini", "vertex"):
        route = RouteId(provider, "gemini-3.1-flash-image")
        await replica.routes.switch(route, is_on=False, reason="", actor="admin:a")
    model = replica.catalog.resolve("gemini-3.1-flash-image")
    assert model.aspect_ratios == ("16:9", "9:16", "1:1", "4:3", "3:4")
    assert [route.provider for route in model.off_routes] == ["gemini", "vertex"]
    with pytest.raises(InvalidArgument, match="has the resolutions 1K, 2K, 4K"):
        replica.catalog.plan_image(ImageFacts("gemini-3.1-flash-image", resolution="512"))


async def test_a_model_without_a_route_that_is_on_is_away(replica: Replica) -> None:
    for state in replica.routes.of_models("veo-3.1-fast")[0].routes:
        await replica.routes.switch(state.route, is_on=False, reason="", actor="admin:a")
    with pytest.raises(UpstreamUnavailable) as refused:
        replica.video_providers()
    assert refused.value.reason == "MODEL_SWITCHED_OFF"
    # What was accepted before is still planned, and waits.
    plan = replica.catalog.plan_accepted_video(VideoFacts("veo-3.1-fast"))
    assert (plan.resolution, plan.options) == ("720p", ())


async def test_the_order_of_a_model_and_of_a_pattern(replica: Replica) -> None:
    flow = next(state.route for state in replica.routes.of_models("veo-3.1-fast")[0].routes if state.route != VEO)
    (model,) = await replica.routes.reorder("veo-3.1-fast", [str(flow)], actor="admin:a")
    assert [state.route for state in model.routes] == [flow, VEO]
    assert model.is_reordered
    assert replica.video_providers() == ["flow", "vertex"]
    order = ["vertex/gemini-3-pro-image", "flow/GEM_PIX_2"]
    await replica.routes.reorder("gemini-3.0-pro-image*", order, actor="admin:a")
    plan = replica.catalog.plan_image(ImageFacts("gemini-3.0-pro-image-landscape-2k"))
    assert [option.provider for option in plan.options] == ["vertex", "flow", "gemini"]
    (model,) = await replica.routes.reorder("veo-3.1-fast", [], actor="admin:a")
    assert not model.is_reordered


async def test_what_the_upstream_does_not_know_is_switched_off_once(replica: Replica) -> None:
    await asyncio.gather(*(replica.routes.model_gone("vertex", VEO.upstream_model) for _ in range(5)))
    (change,) = await replica.store.changes(before_id=None, limit=10)
    assert (change.actor, change.after) == (
        "upstream",
        {"reason": "model_gone", "retry_time": (NOW + DAY).isoformat()},
    )
    (state, _) = replica.routes.of_models("veo-3.1-fast")[0].routes
    assert (state.route, state.reason, state.retry_time) == (VEO, "model_gone", NOW + DAY)
    # A variant of Flow that is gone takes only the clips along that are made by it.
    await replica.routes.model_gone("flow", "veo_3_1_t2v_fast")
    assert replica.video_providers(resolution="1080p") != []
    await replica.routes.switch(VEO, is_on=True, reason="", actor="admin:a")
    assert "vertex" in replica.video_providers()
    assert replica.pool.asked_again == [VEO]


class TestTryingAgain:
    @pytest.fixture
    async def gone(self, replica: Replica) -> Replica:
        await replica.routes.model_gone("vertex", VEO.upstream_model)
        assert replica.video_providers() == ["flow"]
        return replica

    async def test_when_the_pause_is_over(self, gone: Replica, database: Database) -> None:
        gone.now = NOW + DAY - timedelta(seconds=1)
        await gone.routes.try_again()
        assert gone.video_providers() == ["flow"]
        other = Replica(database)
        await other.store.read()
        gone.now = other.now = NOW + DAY
        await asyncio.gather(gone.routes.try_again(), other.routes.try_again())
        await asyncio.gather(gone.store.read(), other.store.read())
        assert gone.video_providers() == other.video_providers() == ["vertex", "flow"]
        newest, _ = await gone.store.changes(before_id=None, limit=10)
        assert (newest.actor, newest.after) == ("retry", None)
        assert VEO in gone.pool.asked_again + other.pool.asked_again
        # The next answer of the upstream begins another pause.
        await gone.routes.model_gone("vertex", VEO.upstream_model)
        (state, _) = gone.routes.of_models("veo-3.1-fast")[0].routes
        assert state.retry_time == NOW + 2 * DAY

    async def test_when_an_account_has_come(self, gone: Replica) -> None:
        gone.pool.newest = {"gemini": NOW + DAY, "vertex": NOW}
        await gone.routes.try_again()
        assert gone.video_providers() == ["flow"]
        gone.pool.newest["vertex"] = NOW + timedelta(seconds=1)
        await gone.routes.try_again()
        assert gone.video_providers() == ["vertex", "flow"]

    async def test_what_an_operator_has_switched_off_stays_off(self, gone: Replica) -> None:
        gone.pool.newest["vertex"] = NOW + timedelta(seconds=1)
        await gone.routes.switch(VEO, is_on=False, reason="retired", actor="admin:a")
        gone.now = NOW + 2 * DAY
        await gone.routes.try_again()
        (state, _) = gone.routes.of_models("veo-3.1-fast")[0].routes
        assert (state.reason, state.retry_time) == ("retired", None)

    async def test_a_change_that_came_in_between_counts(self, gone: Replica, database: Database) -> None:
        other = Replica(database)
        await other.store.read()
        await gone.routes.switch(VEO, is_on=False, reason="retired", actor="admin:a")
        other.now = NOW + DAY
        await other.routes.try_again()
        await gone.store.read()
        assert gone.video_providers() == ["flow"]

    async def test_a_pool_that_is_away_is_asked_in_the_next_round(self, gone: Replica) -> None:
        gone.pool.is_away = True
        gone.now = NOW + DAY
        with pytest.raises(DependencyUnavailable):
            await gone.routes.try_again()
        trying = asyncio.create_task(gone.routes.run())
        try:
            gone.pool.is_away = False
            await eventually(lambda: gone.video_providers() == ["vertex", "flow"], timeout=5)
        finally:
            trying.cancel()
            await asyncio.gather(trying, return_exceptions=True)


async def test_a_model_whose_last_route_is_gone_says_so(replica: Replica) -> None:
    last, *others = [state.route for state in replica.routes.of_models("gemini-nano-banana-2.1")[0].routes]
    for route in others:
        await replica.routes.switch(route, is_on=False, reason="", actor="admin:a")
    assert not replica.routes.is_partly_gone(replica.catalog.resolve("gemini-nano-banana-2.1"))
    await replica.routes.model_gone(last.provider, last.upstream_model)
    with pytest.raises(UpstreamUnavailable, match="does not serve the model") as refused:
        replica.catalog.plan_image(ImageFacts("gemini-nano-banana-2.1"))
    assert refused.value.reason == "MODEL_GONE"
    for route in others:
        await replica.routes.switch(route, is_on=True, reason="", actor="admin:a")
    model = replica.catalog.plan_image(ImageFacts("gemini-nano-banana-2.1")).model
    assert replica.routes.is_partly_gone(model)


@pytest.mark.parametrize("route", [RouteId("vertex", "nothing"), RouteId("", "")])
async def test_an_unknown_route_is_refused(replica: Replica, route: RouteId) -> None:
    with pytest.raises(NotFound):
        await replica.routes.switch(route, is_on=False, reason="", actor="admin:a")
    with pytest.raises(InvalidArgument):
        await replica.routes.reorder("veo-3.1-fast", [str(route)], actor="admin:a")


class TestSettings:
    @pytest.fixture
    def live(self, replica: Replica, generation_settings: GenerationServiceSettings) -> LiveSettings:
        return LiveSettings(base=generation_settings, store=replica.store)

    async def test_a_change_is_seen_by_those_who_hold_the_view(self, live: LiveSettings) -> None:
        view = live.view
        changed = await live.change("media_retention", 90, actor="admin:a")
        assert (changed.value, changed.default) == (90, 604_800)
        assert view.media_retention == timedelta(seconds=90)
        await live.change("video_resubmit_unknown", value=True, actor="admin:a")
        assert view.video_resubmit_unknown is True
        await live.change("media_retention", None, actor="admin:a")
        assert view.media_retention == timedelta(days=7)

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("media_retention", 0),
            ("media_retention", -1),
            ("media_retention", "long"),
            ("media_retention", True),
            ("video_resubmit_unknown", 1),
            ("image_token_wait", [1]),
        ],
    )
    async def test_a_wrong_value_is_refused(self, live: LiveSettings, name: str, value: Any) -> None:
        with pytest.raises(InvalidArgument, match=name):
            await live.change(name, value, actor="admin:a")

    async def test_several_are_changed_together_or_not_at_all(self, live: LiveSettings, replica: Replica) -> None:
        for wrong in ("upload_retention", 0), ("database_url", "x"), ("media_retention", 80):
            with pytest.raises((InvalidArgument, NotFound)):
                await live.change_all([("media_retention", 90), wrong], actor="admin:a")
        assert await replica.store.changes(before_id=None, limit=10) == []
        changed = await live.change_all([("upload_retention", 60), ("media_retention", 90)], actor="admin:a")
        assert [(each.name, each.value) for each in changed] == [("upload_retention", 60), ("media_retention", 90)]
        await live.change_all([("upload_retention", None), ("media_retention", 90)], actor="admin:a")
        names = [row.name for row in await replica.store.changes(before_id=None, limit=10)]
        assert names == ["setting:upload_retention", "setting:upload_retention", "setting:media_retention"]

    async def test_others_cannot_be_changed(self, live: LiveSettings) -> None:
        with pytest.raises(NotFound):
            await live.change("database_url", "x", actor="admin:a")
        assert set(CHANGEABLE) <= set(GenerationServiceSettings.model_fields)

    async def test_a_value_of_another_release_is_the_default(self, live: LiveSettings, replica: Replica) -> None:
        await replica.store.change("setting:media_retention", "for ever", actor="admin:a")
        assert live.view.media_retention == timedelta(days=7)
