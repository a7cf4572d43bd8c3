"""The catalog: every public id, and how to serve a request for it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from flow2api_common.errors import InvalidArgument, NotFound
from flow2api_generation_service.catalog.files import AliasesFile, CatalogFiles, read_catalog_files
from flow2api_generation_service.catalog.image_models import image_models
from flow2api_generation_service.catalog.image_plan import ImageFacts, ImagePlan, plan_image
from flow2api_generation_service.catalog.model import Modality, PublicModel, VideoRoute
from flow2api_generation_service.catalog.prices import PriceBook, price_book
from flow2api_generation_service.catalog.video_models import video_models
from flow2api_generation_service.catalog.video_plan import VideoFacts, VideoPlan, plan_video, providers_that_extend


class Catalog:
    """Every public model by its id. Immutable; safe to share."""

    def __init__(self, models: Iterable[PublicModel], prices: PriceBook) -> None:
        self.prices = prices
        self._models: dict[str, PublicModel] = {}
        for model in models:
            if model.model_id in self._models:
                raise ValueError(f"the catalog has {model.model_id} twice")
            self._models[model.model_id] = model

    @property
    def models(self) -> tuple[PublicModel, ...]:
        """All of them, aliases included: own ids before aliases."""
        return tuple(self._models.values())

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
        """How to make a picture. Raises NotFound, and InvalidArgument as ``image_plan.plan_image`` does."""
        return plan_image(self._of(facts.model_id, Modality.IMAGE), facts)

    def plan_video(self, facts: VideoFacts) -> VideoPlan:
        """How to make a clip. Raises NotFound, and InvalidArgument as ``video_plan.plan_video`` does; where it is the
        clip to continue that the model cannot, the message names models that can."""
        model = self._of(facts.model_id, Modality.VIDEO)
        if facts.source_provider and facts.source_provider not in providers_that_extend(model):
            fitting = [
                each.model_id
                for each in self.models
                if not each.alias_of and facts.source_provider in providers_that_extend(each)
            ]
            use = f"Use one of: {', '.join(fitting)}." if fitting else "No model can."
            raise InvalidArgument.of("model", f"The model {model.model_id} cannot continue this video. {use}")
        return plan_video(model, facts)

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
