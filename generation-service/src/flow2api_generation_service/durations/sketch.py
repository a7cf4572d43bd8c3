"""A distribution of durations in a few numbers, learned clip by clip and forgetting old ones.

A histogram over buckets that grow by a fixed ratio, so that a short and a long duration are known equally well
(as in DDSketch, https://arxiv.org/abs/1908.10693). No library of such sketches takes what is known of a clip, which is
not its duration but two looks between which it got ready, and forgets; both are a few lines here.

Each clip adds one unit of weight between its two looks, spread as the distribution so far says (the self-consistent
estimate for interval-censored data: Turnbull, 1976), and in small part evenly. Without that part a look that always
finds the clip ready would never learn that clips have become faster. Everything here is pure; all numbers are seconds.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from statistics import NormalDist
from typing import Final

PARTS: Final = 32
"""`quantiles` cuts the distribution into so many equally likely parts."""

_RATIO: Final = 1.03
_SHORTEST: Final = 0.25
_LONGEST: Final = 4 * 3600.0
_WINDOW: Final = 100
"""The weight of a clip falls by this part with each later one: about so many clips count."""
_USUAL_SPREAD: Final = 0.3
"""Of the logarithm. Source: docs/upstream/flow.md, section 9: 60 to 120 s for a usual 90 s, 120 to 300 for 210."""
_USUAL_ENDS: Final = 2.5
_USUAL_WEIGHT: Final = 5.0
"""The usual duration of the catalog counts as much as so many clips, and is forgotten like them."""
_EVENLY: Final = 0.03
_DRIFT: Final = 0.07
_EVENLY_AT_FIRST: Final = 8
_NEGLIGIBLE: Final = 1e-4
_BEYOND: Final = 0.005


@dataclass(frozen=True, slots=True)
class DurationSketch:
    """``weights`` by bucket; ``clip_count`` clips were learned from. A new one knows nothing but the usual duration."""

    weights: Mapping[int, float]
    clip_count: int = 0

    def learned(self, not_ready: float, ready: float, *, usual: float) -> DurationSketch:
        """With one more clip, which was not ready at one age and ready at another."""
        ready = min(max(ready, _SHORTEST), _LONGEST)
        not_ready = min(max(not_ready, 0.0), ready * 0.999)
        believed = self._believed(usual)
        expected = {bucket: believed.get(bucket, 0.0) * share for bucket, share in _overlaps(not_ready, ready)}
        likelihood = sum(expected.values())
        # While little is known, and where nothing of the kind was expected, the belief is a bad guide.
        surprise = 1 - min(1.0, 20 * likelihood / sum(believed.values()))
        evenly = max(_EVENLY, surprise, 1 / (1 + self.clip_count / _EVENLY_AT_FIRST))
        faded = {bucket: weight * (1 - 1 / _WINDOW) for bucket, weight in self.weights.items()}
        for bucket, share in expected.items():
            faded[bucket] = faded.get(bucket, 0.0) + (1 - evenly) * (share / likelihood if likelihood else 0.0)
        start, end = not_ready * (1 - _DRIFT), min(ready * (1 + _DRIFT), _LONGEST)
        for bucket, share in _overlaps(start, end):
            even = share * (_edge(bucket + 1) - _edge(bucket)) / (end - start)
            faded[bucket] = faded.get(bucket, 0.0) + evenly * even
        kept = {bucket: weight for bucket, weight in faded.items() if weight > _NEGLIGIBLE}
        return DurationSketch(kept, self.clip_count + 1)

    def quantiles(self, usual: float) -> tuple[float, ...]:
        """`PARTS` + 1 ages, ascending, that cut the distribution into equally likely parts.

        The outermost leave `_BEYOND` out on each side: a few odd clips would else stretch the outer parts.
        """
        believed = self._believed(usual)
        total = sum(believed.values())
        buckets = sorted(believed)
        cuts: list[float] = []
        below = 0.0
        for bucket in buckets:
            share = believed[bucket] / total
            while len(cuts) <= PARTS and (likelihood := _likelihood_of_cut(len(cuts))) <= below + share:
                inside = min(max((likelihood - below) / share, 0.0), 1.0)
                cuts.append(_edge(bucket) + (_edge(bucket + 1) - _edge(bucket)) * inside)
            below += share
        # The shares may add up to a little less than one.
        cuts += [_edge(buckets[-1] + 1)] * (PARTS + 1 - len(cuts))
        return tuple(cuts)

    def _believed(self, usual: float) -> dict[int, float]:
        believed = dict(self.weights)
        fading = _USUAL_WEIGHT * (1 - 1 / _WINDOW) ** self.clip_count
        for bucket, share in _usual_shares(usual):
            believed[bucket] = believed.get(bucket, 0.0) + share * fading
        return believed


NOTHING_LEARNED: Final = DurationSketch({})


def usual_quantiles(usual: float) -> tuple[float, ...]:
    """The quantiles of what usually takes so long, before anything was learned."""
    return NOTHING_LEARNED.quantiles(usual)


def _likelihood_of_cut(number: int) -> float:
    return min(max(number / PARTS, _BEYOND), 1 - _BEYOND)


@lru_cache(maxsize=256)
def _usual_shares(usual: float) -> tuple[tuple[int, float], ...]:
    usual = min(max(usual, 2 * _SHORTEST), _LONGEST / 2)
    logarithm = NormalDist(math.log(usual), _USUAL_SPREAD)
    width = math.exp(_USUAL_ENDS * _USUAL_SPREAD)
    buckets = range(_bucket(usual / width), _bucket(usual * width) + 1)
    shares = [
        logarithm.cdf(math.log(_edge(bucket + 1))) - logarithm.cdf(math.log(max(_edge(bucket), 1e-9)))
        for bucket in buckets
    ]
    return tuple((bucket, share / sum(shares)) for bucket, share in zip(buckets, shares, strict=True))


def _overlaps(start: float, end: float) -> Iterator[tuple[int, float]]:
    """The buckets that have a part between these, and how large a part of each."""
    for bucket in range(_bucket(start), _bucket(end) + 1):
        lower, upper = _edge(bucket), _edge(bucket + 1)
        part = min(end, upper) - max(start, lower)
        if part > 0:
            yield bucket, part / (upper - lower)


def _bucket(duration: float) -> int:
    """The first one holds everything up to ``_SHORTEST`` and one ratio more."""
    return int(math.log(duration / _SHORTEST) / math.log(_RATIO)) if duration > _SHORTEST else 0


def _edge(bucket: int) -> float:
    return _SHORTEST * _RATIO**bucket if bucket > 0 else 0.0
