"""What upstream models cost in money, and what a generation on one of them comes to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from types import MappingProxyType
from typing import Final

from flow2api_generation_service.catalog.files import PriceRow, PricesFile

_MILLION: Final = 1_000_000
_TOKENS_OF_PICTURE: Final = 1_290
_TOKENS_AROUND_PROMPT: Final = 64


@dataclass(frozen=True, slots=True)
class TokenUsage:
    """Tokens that a call took, as the upstream counted them; None where it did not say."""

    input_tokens: int | None = None
    output_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class Price:
    """The price of one upstream model at one provider, in millionths of a US dollar.

    ``image`` and ``second`` are by resolution; ``input_tokens`` and ``output_tokens`` per million of them. A clip costs
    seconds or output tokens, of which it has ``output_tokens_per_second`` by default. A continuation counts for
    ``extension_seconds``, if they are known, whatever its length.
    """

    as_of: date
    image: Mapping[str, int]
    second: Mapping[str, int]
    input_tokens: int
    output_tokens: int
    output_tokens_per_second: int
    extension_seconds: int | None = None

    def of_image(self, resolution: str, usage: TokenUsage) -> int:
        """What one picture costs. Raises KeyError for a resolution without a price."""
        return self.image[resolution] + _tokens(usage.input_tokens, self.input_tokens)

    def of_video(self, resolution: str, seconds: int, usage: TokenUsage, *, is_extension: bool = False) -> int:
        """What one clip costs. Raises KeyError for a resolution without a price."""
        if is_extension and self.extension_seconds is not None:
            seconds = self.extension_seconds
        put_in = _tokens(usage.input_tokens, self.input_tokens)
        if self.second:
            return self.second[resolution] * seconds + put_in
        put_out = usage.output_tokens or self.output_tokens_per_second * seconds
        return _tokens(put_out, self.output_tokens) + put_in

    def of_tokens(self, usage: TokenUsage) -> int | None:
        """What a clip costs whose tokens are known; None where they do not decide, or are not known."""
        if self.output_tokens == 0 or usage.output_tokens is None:
            return None
        return _tokens(usage.output_tokens, self.output_tokens) + _tokens(usage.input_tokens, self.input_tokens)

    def has(self, resolution: str, *, is_video: bool) -> bool:
        """Whether what a route makes in this resolution has a price."""
        if is_video:
            return resolution in self.second if self.second else self.output_tokens_per_second > 0
        return resolution in self.image


class PriceBook:
    """Every price by provider and upstream model. Immutable."""

    def __init__(self, prices: Mapping[tuple[str, str], Price]) -> None:
        self._prices = MappingProxyType(dict(prices))

    def find(self, provider: str, upstream_model: str) -> Price | None:
        """The price of a model there; None where it costs no money, as with Flow, or none is known."""
        return self._prices.get((provider, upstream_model))


def price_book(file: PricesFile) -> PriceBook:
    """The prices of prices.toml. Raises ValueError where it has one twice."""
    prices: dict[tuple[str, str], Price] = {}
    for row in file.prices:
        for provider in row.providers:
            if (provider, row.upstream_model) in prices:
                raise ValueError(f"prices.toml has {provider} {row.upstream_model} twice")
            prices[provider, row.upstream_model] = _price(row)
    return PriceBook(prices)


def most_input(prompts: Iterable[str], picture_count: int) -> TokenUsage:
    """More tokens than what is put in usually counts for: our own estimate, of a token for each character, until the
    upstream has counted (1 290 for a picture: docs/upstream/google-official.md, section 1)."""
    characters = sum(map(len, prompts))
    return TokenUsage(input_tokens=characters + _TOKENS_AROUND_PROMPT + picture_count * _TOKENS_OF_PICTURE)


def _price(row: PriceRow) -> Price:
    return Price(
        as_of=row.as_of,
        image=MappingProxyType(dict(row.image)),
        second=MappingProxyType(dict(row.second)),
        input_tokens=row.input_tokens,
        output_tokens=row.output_tokens,
        output_tokens_per_second=row.output_tokens_per_second,
        extension_seconds=row.extension_seconds,
    )


def _tokens(count: int | None, price_per_million: int) -> int:
    return -(-(count or 0) * price_per_million // _MILLION)
