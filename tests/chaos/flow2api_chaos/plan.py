"""What a run will do and when: a pure function of its seed, its number of videos and its length."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Final, TypeAlias

from flow2api_chaos.accounts import Mishap, PlannedAccount, usual_accounts

SERVICES: Final = ("token", "generation", "poller", "gateway")
SERVERS: Final = ("postgres", "nats", "redis")
UPSTREAM_LINK: Final = "upstream"


def process_names(replicas: int) -> tuple[str, ...]:
    """The processes of the services."""
    return tuple(f"{service}-{number}" for service in SERVICES for number in range(1, replicas + 1))


class Habit(StrEnum):
    """How a client behaves after it has asked."""

    POLL = "poll"
    STREAM = "stream"
    CANCEL = "cancel"
    LEAVE = "leave"
    HANG_UP = "hang_up"
    REPEAT = "repeat"


class Action(StrEnum):
    """What is done to the target of a strike."""

    KILL = "kill"
    EMPTY = "kill and empty"
    CUT = "cut"
    STALL = "stall"
    RESET = "reset"
    SPOIL = "spoil"


@dataclass(frozen=True, slots=True)
class PlannedVideo:
    """A video that a client will ask for. ``fields`` is the body; ``remix_of_completed`` continues an earlier clip."""

    number: int
    at_seconds: float
    kind: str
    fields: Mapping[str, Any]
    habit: Habit
    habit_seconds: float
    mark: str
    remix_of_completed: bool = False

    @property
    def prompt(self) -> str:
        return str(self.fields["prompt"])


@dataclass(frozen=True, slots=True)
class Strike:
    """Something that is broken at a time, for ``seconds``. ``rule`` is a fault of the sandbox."""

    at_seconds: float
    action: Action
    target: str
    seconds: float
    rule: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        what = ", ".join(f"{name} {value}" for name, value in self.rule.items())
        return f"{self.action} {self.target}{f' ({what})' if what else ''} for {self.seconds:.1f} s"


@dataclass(frozen=True, slots=True)
class ChaosPlan:
    """Everything that happens in a run.

    ``seconds`` is how long videos arrive, ``sandbox`` are its settings that differ from those of every run.
    """

    seed: int
    seconds: float
    replicas: int
    videos: tuple[PlannedVideo, ...]
    strikes: tuple[Strike, ...]
    accounts: tuple[PlannedAccount, ...]
    mishaps: tuple[Mishap, ...] = ()
    sandbox: Mapping[str, str] = field(default_factory=dict)
    is_mix: bool = False


Kind: TypeAlias = tuple[str, int, Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Menu:
    """What clients ask for, what the upstream does to single videos, and how clients behave, each with its share."""

    kinds: Sequence[Kind]
    marks: Sequence[tuple[str, int]]
    habits: Sequence[tuple[Habit, int]]


# Kinds with their shares. Every run has each kind where it has videos enough.
_KINDS: Final[tuple[Kind, ...]] = (
    ("text", 6, {"model": "veo-3.1-fast", "size": "1280x720", "seconds": "8"}),
    ("text, lite", 3, {"model": "veo-3.1-lite", "size": "720x1280", "seconds": "8"}),
    ("first frame", 3, {"model": "veo-3.1-fast", "size": "1280x720", "seconds": "8", "pictures": "first"}),
    ("first and last frame", 2, {"model": "veo-3.1-fast", "size": "1280x720", "seconds": "8", "pictures": "both"}),
    ("references", 2, {"model": "veo-3.1-fast", "size": "1280x720", "seconds": "8", "pictures": "references"}),
    ("upsampled", 3, {"model": "veo-3.1-fast", "aspect_ratio": "16:9", "resolution": "1080p", "seconds": "8"}),
    ("gemini text", 3, {"model": "gemini-omni-1.1-flash", "size": "1280x720", "seconds": "4"}),
    (
        "gemini first frame",
        2,
        {"model": "gemini-omni-1.1-flash", "size": "1280x720", "seconds": "4", "pictures": "first"},
    ),
    ("remix", 2, {}),
)

# What the upstream does to one video, by a mark in its prompt, with its share.
_MARKS: Final = (
    ("", 60),
    ("[[fault:429 retry_after=2 times=1]]", 5),
    ("[[fault:500 times=1]]", 3),
    ("[[fault:503 times=1]]", 3),
    ("[[fault:hang times=1]]", 3),
    ("[[fault:reset times=1]]", 3),
    ("[[fault:lost_answer times=1]]", 3),
    ("[[fault:malformed times=1]]", 3),
    ("[[fault:truncated times=1]]", 3),
    ("[[fault:slow delay=3 times=1]]", 2),
    ("[[fault:content]]", 4),
    ("[[fault:fail]]", 4),
    ("[[fault:missing answers=2]]", 2),
    ("[[fault:media_404]]", 2),
    ("[[fault:active]]", 1),
)

_HABITS: Final = (
    (Habit.POLL, 45),
    (Habit.STREAM, 20),
    (Habit.CANCEL, 10),
    (Habit.LEAVE, 7),
    (Habit.HANG_UP, 8),
    (Habit.REPEAT, 10),
)

_RULES: Final[tuple[Mapping[str, Any], ...]] = (
    {"kind": "500", "route": "flow.status", "times": 3},
    {"kind": "malformed", "route": "flow.status", "times": 3},
    {"kind": "truncated", "route": "flow.status", "times": 3},
    {"kind": "hang", "route": "flow.status", "times": 2},
    {"kind": "429", "route": "flow.status", "retry_after": 2, "times": 2},
    {"kind": "500", "route": "flow.upload", "times": 2},
    {"kind": "reset", "route": "flow.upload", "times": 1},
    {"kind": "truncated", "route": "cdn", "times": 2},
    {"kind": "reset", "route": "cdn", "times": 2},
    {"kind": "503", "route": "flow.media_redirect", "times": 2},
    {"kind": "500", "route": "gemini.interaction_get", "times": 3},
    {"kind": "malformed", "route": "gemini.interaction_get", "times": 2},
    {"kind": "truncated", "route": "gemini.file_download", "times": 1},
    {"kind": "503", "route": "flow.session", "times": 2},
)

_ACTIVE_DEADLINE_SECONDS: Final = 45

_USUAL_MENU: Final = Menu(_KINDS, _MARKS, _HABITS)


def make_plan(
    seed: int,
    *,
    videos: int,
    seconds: float,
    strikes: int,
    replicas: int = 2,
    video_limit: int = 4,
    menu: Menu = _USUAL_MENU,
    accounts: Sequence[PlannedAccount] = (),
    mishaps: Sequence[Mishap] = (),
    sandbox: Mapping[str, str] = MappingProxyType({}),
    is_mix: bool = False,
) -> ChaosPlan:
    """The same for the same arguments. Without ``accounts`` the usual ones, of ``video_limit`` videos at once each."""
    # Each part has a stream of its own: the faults of a seed do not depend on how many videos there are.
    video_chance, strike_chance = random.Random(f"videos {seed}"), random.Random(f"strikes {seed}")
    return ChaosPlan(
        seed=seed,
        seconds=seconds,
        replicas=replicas,
        videos=tuple(_videos(video_chance, seed, videos, seconds, menu)),
        strikes=tuple(_strikes(strike_chance, strikes, seconds, replicas)),
        accounts=tuple(accounts) or usual_accounts(video_limit),
        mishaps=tuple(mishaps),
        sandbox=sandbox,
        is_mix=is_mix,
    )


def _videos(chance: random.Random, seed: int, count: int, seconds: float, menu: Menu) -> list[PlannedVideo]:
    kinds = list(menu.kinds) + chance.choices(menu.kinds, [weight for _, weight, _ in menu.kinds], k=count)
    planned = []
    for number, (kind, _, fields) in enumerate(kinds[:count]):
        mark = chance.choices([mark for mark, _ in menu.marks], [share for _, share in menu.marks])[0]
        habit = chance.choices([habit for habit, _ in menu.habits], [share for _, share in menu.habits])[0]
        # Each early kind comes whole at least once, and there is something to remix.
        if number < len(menu.kinds):
            mark, habit = "", Habit.POLL
        body: dict[str, Any] = {**fields, "prompt": f"chaos {seed} video {number:04d} {mark}".strip()}
        if "active" in mark:
            body["expires_after"] = _ACTIVE_DEADLINE_SECONDS
        at_seconds = seconds * number / count
        if kind == "remix":
            body.pop("expires_after", None)
            body["prompt"] = f"chaos {seed} video {number:04d}"
            mark = ""
            at_seconds = max(at_seconds, seconds * 0.6)
        planned.append(
            PlannedVideo(
                number=number,
                at_seconds=at_seconds,
                kind=kind,
                fields=body,
                habit=habit,
                habit_seconds=chance.uniform(0.0, 1.5) if habit is Habit.HANG_UP else chance.uniform(0.0, 12.0),
                mark=mark,
                remix_of_completed=kind == "remix",
            )
        )
    return sorted(planned, key=lambda video: video.at_seconds)


def _strikes(chance: random.Random, count: int, seconds: float, replicas: int) -> list[Strike]:
    # Every process and every server in turn, in a random order, before any comes twice; in between the network.
    planned: list[Strike] = []
    targets: list[str] = []
    for number in range(count):
        at_seconds = seconds * (number + chance.uniform(0.1, 0.9)) / count
        if number % 3 == 2:
            planned.append(_outage(chance, at_seconds))
            continue
        if not targets:
            targets = [*process_names(replicas), *SERVERS]
            chance.shuffle(targets)
        target = targets.pop()
        is_emptied = target == "redis" and chance.random() < 0.5
        action = Action.EMPTY if is_emptied else Action.KILL
        planned.append(Strike(at_seconds, action, target, chance.uniform(0.2, 3.0)))
    return planned


def _outage(chance: random.Random, at_seconds: float) -> Strike:
    action = chance.choice([Action.CUT, Action.STALL, Action.RESET, Action.SPOIL, Action.SPOIL])
    if action is Action.SPOIL:
        return Strike(at_seconds, action, "sandbox", 0.0, chance.choice(_RULES))
    return Strike(at_seconds, action, UPSTREAM_LINK, 0.0 if action is Action.RESET else chance.uniform(1.0, 6.0))
