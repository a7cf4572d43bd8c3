"""The catalog: every public id, and how to serve a request for it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from flow2api_common.errors import InvalidArgument, NotFound, UpstreamUnavailable
from flow2api_generation_service.catalog.arrangement import (
    AS_PACKAGED,
    Arrangement,
    RouteId,
    arranged,
    in_order,
    route_id,
)
from flow2api_generation_service.catalog.files import AliasesFile, CatalogFiles, read_catalog_files
from flow2api_generation_service.catalog.image_models import image_models
from flow2api_generation_service.catalog.image_plan import ImageFacts, ImagePlan, plan_image
from flow2api_generation_service.catalog.model import Modality, PublicModel, VideoRoute
from flow2api_generation_service.catalog.prices import PriceBook, price_book
from flow2api_generation_service.catalog.video_models import video_models
from flow2api_generation_service.catalog.video_plan import (
    VideoFacts,
    VideoOption,
    VideoPlan,
    plan_video,
    providers_that_extend,
)


class Catalog:
    """Every public model by its id, with its routes as operators have arranged them. Safe to share."""

    def __init__(self, models: Iterable[PublicModel], prices: PriceBook) -> None:
        self.prices = prices
        self._packaged: dict[str, PublicModel] = {}
        for model in models:
            if model.model_id in self._packaged:
                raise ValueError(f"the catalog has {model.model_id} twice")
            self._packaged[model.model_id] = model
        self._arrangement = AS_PACKAGED
        self._models = self._packaged

    @property
    def models(self) -> tuple[PublicModel, ...]:
        """All of them, aliases included: own ids before aliases."""
        return tuple(self._models.values())

    @property
    def packaged_models(self) -> tuple[PublicModel, ...]:
        """All of them as they come, whatever operators have decided."""
        return tuple(self._packaged.values())

    @property
    def arrangement(self) -> Arrangement:
        """What operators have decided about the routes."""
        return self._arrangement

    def arrange(self, arrangement: Arrangement) -> None:
        """Use the routes like this from now on."""
        if arrangement != self._arrangement:
            self._models = {name: arranged(model, arrangement) for name, model in self._packaged.items()}
            self._arrangement = arrangement

    def resolve(self, model_id: str) -> PublicModel:
        """The model of an id. Raises NotFound with reason MODEL_NOT_FOUND."""
        model = self._models.get(model_id)
        if model is None:
            raise NotFound(
                f"The model {model_id[:100]!r} does not exist.",
                reason="MODEL_NOT_FOUND",
                metadata={"model_id": model_id[:100]},
            )
        return model

    def plan_image(self, facts: ImageFacts) -> ImagePlan:
        """How to make a picture.

        Raises NotFound, UpstreamUnavailable MODEL_SWITCHED_OFF or MODEL_GONE, and InvalidArgument as
        ``image_plan.plan_image`` does.
        """
        return plan_image(self._switched_on(self._of(facts.model_id, Modality.IMAGE)), facts)

    def plan_video(self, facts: VideoFacts) -> VideoPlan:
        """How to make a clip.

        Raises NotFound, UpstreamUnavailable MODEL_SWITCHED_OFF or MODEL_GONE, and InvalidArgument as
        ``video_plan.plan_video`` does; where it is the clip to continue that the model cannot, the message names models
        that can.
        """
        model = self._switched_on(self._of(facts.model_id, Modality.VIDEO))
        if facts.source_provider and facts.source_provider not in providers_that_extend(model):
            fitting = [
                each.model_id
                for each in self.models
                if not each.alias_of and facts.source_provider in providers_that_extend(each)
            ]
            use = f"Use one of: {', '.join(fitting)}." if fitting else "No model can."
            raise InvalidArgument.of("model", f"The model {model.model_id} cannot continue this video. {use}")
        return plan_video(model, facts)

    def plan_accepted_video(self, facts: VideoFacts) -> VideoPlan:
        """How to make a clip that was accepted before, by the routes that are on now: a switch ends no job, so that its
        plan may be without options. Raises what ``plan_video`` does."""
        plan = plan_video(self._packaged_of(facts.model_id), facts)
        order = [route_id(route) for route in in_order(plan.model, self._arrangement)]
        options = [option for option in plan.options if self._is_on(option)]
        options.sort(key=lambda option: order.index(RouteId(option.provider, option.route)))
        return replace(plan, options=tuple(options))

    def _is_on(self, option: VideoOption) -> bool:
        names = {option.route, *option.upstream_model_by_tier.values()}
        return self._arrangement.is_on(*(RouteId(option.provider, name) for name in names))

    def _switched_on(self, model: PublicModel) -> PublicModel:
        if model.routes:
            return model
        # The upstream has taken the last one that operators had left.
        if not self._arrangement.gone.isdisjoint(map(route_id, model.off_routes)):
            raise UpstreamUnavailable(
                f"The upstream does not serve the model {model.model_id} any more.", reason="MODEL_GONE"
            )
        raise UpstreamUnavailable(
            f"The model {model.model_id} is switched off at the moment.", reason="MODEL_SWITCHED_OFF"
        )

    def _packaged_of(self, model_id: str) -> PublicModel:
        return self._packaged[self.resolve(model_id).model_id]

    def _of(self, model_id: str, modality: Modality) -> PublicModel:
        model = self.resolve(model_id)
        if model.modality is not modality:
            raise InvalidArgument.of(
                "model", f"The model {model_id} makes {model.modality.value}s, not {modality.value}s."
            )
        return model


def load_catalog() -> Catalog:
    """The catalog of the packaged data files. Raises ValueError (pydantic's too) where they contradict each other."""
    return catalog_of(read_catalog_files())


def catalog_of(files: CatalogFiles) -> Catalog:
    """The catalog of these files."""
    prices = price_book(files.prices)
    own = [
        *image_models(files.images, prices),
        *video_models(files.flow_clips, files.video_families, prices),
    ]
    return Catalog([*own, *_aliases(files.aliases, {model.model_id: model for model in own})], prices)


def _aliases(file: AliasesFile, own: dict[str, PublicModel]) -> Iterable[PublicModel]:
    for row in file.spellings:
        yield replace(own[row.stands_for], model_id=row.id, alias_of=row.stands_for)
    for retired in file.retired:
        model = own[retired.stands_for]
        if retired.aspect_ratio is not None:
            model = _fixed(model, retired.aspect_ratio)
        yield replace(model, model_id=retired.id, alias_of=retired.stands_for, shutdown_date=retired.shutdown_date)


def _fixed(model: PublicModel, aspect_ratio: str) -> PublicModel:
    routes = tuple(
        replace(route, variants=tuple(variant for variant in route.variants if variant.aspect_ratio == aspect_ratio))
        for route in model.routes
        if isinstance(route, VideoRoute)
    )
    return replace(model, routes=routes, aspect_ratios=(aspect_ratio,), is_fixed=True)
