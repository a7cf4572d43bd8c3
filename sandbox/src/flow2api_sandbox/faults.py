"""What can be made to go wrong, for whom, and how often.

A fault is asked for in two ways:

* through ``POST /_sandbox/faults`` with the fields of ``Fault``: a *rule*, which matches calls by route, account and
  prompt until it has been used up or is deleted;
* by a *mark* in a prompt: ``[[fault:KIND]]``, or with options ``[[fault:KIND key=value key=value]]``, for example
  ``[[fault:429 retry_after=7 times=1]]``, ``[[fault:content reason=PUBLIC_ERROR_MINOR]]`` or
  ``[[fault:missing answers=2]]``. The options are the fields ``reason``, ``message``, ``retry_after``, ``delay``,
  ``times``, ``answers``, ``samples``, ``probability`` and ``on`` (a route pattern). Without ``on`` a mark concerns the
  generating call that carries the prompt.

Kinds that refuse the call before anything happened: ``400 401 403 404 409 413 429 500 503 504``, ``verification``,
``tier``, ``credits``, ``quota_model``, ``quota_account``, ``content``, ``hang`` (no answer until the client leaves),
``reset`` (connection cut). Kinds that execute the call and then spoil the answer: ``lost_answer`` (cut before the
first byte), ``malformed`` (not JSON), ``truncated`` (cut in the middle), ``slow`` (dripped over ``delay`` seconds),
``delay`` (late by ``delay`` seconds). Kinds that change the outcome: ``empty`` (success without the thing asked for),
``fail`` and ``error_status`` (accepted, later failed), ``missing`` (entry left out of status answers), ``active``
(never ends), ``media_404`` (finished, but the file is not there at first), ``filtered`` (Veo: finished, but
``samples`` clips of the call were held back by the filters), ``stream_error`` (``streamGenerateContent``: words, then
an error in place of the picture).

The first mark or rule that fits a call is used, marks before rules. ``times`` counts the calls that were hit;
``answers`` counts the status answers or fetches that one hit clip spoils. Rules may also name ``project``,
``location`` and ``model``, which the official APIs have.
"""

import itertools
import re
import secrets
from collections import Counter
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import NamedTuple

from pydantic import BaseModel, ConfigDict, Field, ValidationError

GENERATION_ROUTES = (
    "flow.images",
    "flow.video_*",
    "gemini.generate",
    "gemini.stream",
    "gemini.video",
    "gemini.interaction_create",
    "vertex.generate",
    "vertex.stream",
    "vertex.video",
    "vertex.interaction_create",
)


class FaultKind(StrEnum):
    """Every kind; the module docstring says what each does."""

    BAD_REQUEST = "400"
    UNAUTHENTICATED = "401"
    FORBIDDEN = "403"
    NOT_FOUND = "404"
    CONFLICT = "409"
    TOO_LARGE = "413"
    THROTTLED = "429"
    INTERNAL = "500"
    UNAVAILABLE = "503"
    TOO_SLOW = "504"
    VERIFICATION = "verification"
    TIER = "tier"
    CREDITS = "credits"
    QUOTA_MODEL = "quota_model"
    QUOTA_ACCOUNT = "quota_account"
    CONTENT = "content"
    HANG = "hang"
    RESET = "reset"
    LOST_ANSWER = "lost_answer"
    MALFORMED = "malformed"
    TRUNCATED = "truncated"
    SLOW = "slow"
    DELAY = "delay"
    EMPTY = "empty"
    FAIL = "fail"
    ERROR_STATUS = "error_status"
    MISSING = "missing"
    ACTIVE = "active"
    MEDIA_404 = "media_404"
    FILTERED = "filtered"
    STREAM_ERROR = "stream_error"


STUCK_SECONDS = 480.0
"""So long after its time a generation that never ends (``active``) still counts among those that run at once.

An assumption: no document says when an upstream gives such room back.
"""

ANSWER_KINDS = frozenset(
    {FaultKind.LOST_ANSWER, FaultKind.MALFORMED, FaultKind.TRUNCATED, FaultKind.SLOW, FaultKind.DELAY}
)
OUTCOME_KINDS = frozenset(
    {
        FaultKind.EMPTY,
        FaultKind.FAIL,
        FaultKind.ERROR_STATUS,
        FaultKind.MISSING,
        FaultKind.ACTIVE,
        FaultKind.MEDIA_404,
        FaultKind.FILTERED,
        FaultKind.STREAM_ERROR,
    }
)
REFUSAL_KINDS = frozenset(FaultKind) - ANSWER_KINDS - OUTCOME_KINDS
CLIP_KINDS = OUTCOME_KINDS - {FaultKind.EMPTY, FaultKind.FILTERED, FaultKind.STREAM_ERROR}


class FaultPlace(NamedTuple):
    """The call that a fault might hit; the last three are empty where an API does not have them."""

    route: str
    account: str
    prompt: str
    project: str = ""
    location: str = ""
    model: str = ""


class Fault(BaseModel):
    """One rule. Patterns are shell-like (``flow.video_*``); absent ones match everything."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: FaultKind
    route: str = "*"
    account: str = Field(default="*", description="Name of a Flow account, API key, or e-mail of a service account.")
    project: str = "*"
    location: str = Field(default="*", description="Location of Vertex, or gemini-api.")
    model: str = "*"
    prompt: str = Field(default="", description="Text that the prompt contains.")
    probability: float = Field(default=1.0, ge=0, le=1)
    times: int | None = Field(default=None, ge=1, description="Calls to hit; absent: all.")
    delay: float = Field(
        default=0.0, ge=0, description="Real seconds before the effect; of slow and delay: its length."
    )
    reason: str | None = None
    message: str | None = Field(default=None, description="Of a refusal, in place of the usual words.")
    retry_after: float | None = Field(default=None, ge=0)
    answers: int | None = Field(default=None, ge=1, description="Status answers or fetches spoiled per clip.")
    samples: int | None = Field(default=None, ge=1, description="Of filtered: clips of the call; absent: all.")

    def fits(self, place: FaultPlace, *, kinds: frozenset[FaultKind]) -> bool:
        """Whether the rule concerns this call, chance and count aside."""
        return (
            self.kind in kinds
            and fnmatchcase(place.route, self.route)
            and fnmatchcase(place.account, self.account)
            and fnmatchcase(place.project, self.project)
            and fnmatchcase(place.location, self.location)
            and fnmatchcase(place.model, self.model)
            and self.prompt in place.prompt
        )


class MarkError(ValueError):
    """A mark in a prompt that cannot be read."""


class FaultBook:
    """The rules in force, and how often each was used."""

    def __init__(self) -> None:
        self._rules: dict[str, Fault] = {}
        self._used: Counter[str] = Counter()
        self._ids = itertools.count(1)
        self._chance = secrets.SystemRandom()

    def add(self, fault: Fault) -> str:
        """Put a rule in force; answers its id."""
        fault_id = f"fault-{next(self._ids)}"
        self._rules[fault_id] = fault
        return fault_id

    def remove(self, fault_id: str) -> bool:
        """Take one rule away; whether there was one."""
        return self._rules.pop(fault_id, None) is not None

    def clear(self) -> None:
        """Take every rule away and forget the counts, those of marks too."""
        self._rules.clear()
        self._used.clear()

    def in_force(self) -> list[tuple[str, Fault, int]]:
        """Id, rule, and how often it was used."""
        return [(fault_id, fault, self._used[fault_id]) for fault_id, fault in self._rules.items()]

    def take(self, place: FaultPlace, *, kinds: frozenset[FaultKind]) -> Fault | None:
        """The fault for this call, counted as used; ``None`` when all is well. Raises MarkError."""
        for key, fault in self._candidates(place.prompt, place.route):
            if fault.times is not None and self._used[key] >= fault.times:
                continue
            if not fault.fits(place, kinds=kinds):
                continue
            if fault.probability < 1 and self._chance.random() >= fault.probability:
                continue
            self._used[key] += 1
            return fault
        return None

    def _candidates(self, prompt: str, route: str) -> list[tuple[str, Fault]]:
        marks = read_marks(prompt, route) if "[[fault:" in prompt else []
        return [*((f"{prompt}\n{fault!r}", fault) for fault in marks), *self._rules.items()]


_MARK = re.compile(r"\[\[fault:([^\]\s]+)((?:\s+[a-z_]+=[^\]\s]+)*)\s*\]\]")
_OPTIONS = {"reason", "message", "retry_after", "delay", "times", "answers", "probability", "samples", "on"}


def read_marks(prompt: str, route: str) -> list[Fault]:
    """The marks of a prompt that concern a route. Raises MarkError when one is not understood."""
    faults = []
    for match in _MARK.finditer(prompt):
        options = dict(pair.split("=", 1) for pair in match[2].split())
        if unknown := set(options) - _OPTIONS:
            raise MarkError(f"unknown option in {match[0]}: {', '.join(sorted(unknown))}")
        pattern = options.pop("on", None)
        patterns = (pattern,) if pattern else GENERATION_ROUTES
        if not any(fnmatchcase(route, each) for each in patterns):
            continue
        try:
            faults.append(Fault.model_validate({"kind": match[1], **options}))
        except ValidationError as exc:
            raise MarkError(f"{match[0]}: {exc.errors()[0]['msg']}") from exc
    if not faults and prompt.count("[[fault:") > len(_MARK.findall(prompt)):
        raise MarkError("a [[fault:…]] mark is not closed or not well formed")
    return faults
