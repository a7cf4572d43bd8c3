"""The plan of a mixed run: one queue over three providers, with uneven limits, quotas and faults."""

from __future__ import annotations

from typing import Final

from flow2api_chaos.accounts import SERVICE_ACCOUNT, Mishap, PlannedAccount
from flow2api_chaos.plan import ChaosPlan, Habit, Menu, make_plan

VEO: Final = "veo-*"

# `omni` has routes on Flow, the Gemini API and Vertex; the others on two of them.
_MENU: Final = Menu(
    kinds=(
        ("omni text", 4, {"model": "omni", "size": "1280x720", "seconds": "8"}),
        ("omni references", 2, {"model": "omni", "size": "720x1280", "seconds": "8", "pictures": "references"}),
        ("gemini omni", 3, {"model": "gemini-omni-1.1-flash", "size": "1280x720", "seconds": "4"}),
        ("veo fast", 3, {"model": "veo-3.1-fast", "size": "1280x720", "seconds": "8"}),
        ("veo fast first frame", 1, {"model": "veo-3.1-fast", "size": "1280x720", "seconds": "8", "pictures": "first"}),
    ),
    marks=(
        ("", 80),
        ("[[fault:429 retry_after=2 times=1]]", 6),
        ("[[fault:500 times=1]]", 5),
        ("[[fault:503 times=1]]", 5),
        ("[[fault:missing answers=2]]", 2),
        ("[[fault:media_404]]", 2),
    ),
    habits=((Habit.POLL, 60), (Habit.STREAM, 25), (Habit.REPEAT, 10), (Habit.LEAVE, 5)),
)


def make_mix(
    seed: int, *, videos: int, seconds: float, strikes: int = 0, replicas: int = 2, clip_seconds: int = 12
) -> ChaosPlan:
    """Five Flow accounts, five keys and three service accounts; ``clip_seconds`` is how long clips take upstream.

    The same for the same arguments. Nobody cancels, so that every video has to be made.
    """
    per_day = max(1, videos // 16)
    accounts = (
        _flow(1, 2),
        _flow(2, 2, "429 to six submissions"),
        _flow(3, 1, "credits for two clips"),
        _flow(4, 1),
        _flow(5, 2, "500 to six submissions"),
        _key(1, 1, "revoked midway"),
        _key(2, 2, f"{per_day} clips a day"),
        _key(3, 1, "500 to six submissions"),
        _key(4, 1),
        _key(5, 2, "one clip at once upstream"),
        _service_account(1, 3, "global"),
        _service_account(2, 2, "europe-west4", "its region lacks Veo"),
        _service_account(3, 2, "us-central1", "its project has no billing"),
    )
    mishaps = (
        Mishap(0, "flow-3", "/accounts", {"session_token": "sandbox-st-3", "credits": 50}),
        Mishap(0, "key-2", "/quotas", {"project": "sandbox-key-2", "per_day": per_day}),
        Mishap(0, "key-5", "/quotas", {"project": "sandbox-key-5", "concurrent": 1}),
        Mishap(0, "vertex-2", "/availability", {"model": VEO, "location": "europe-west4", "is_served": False}),
        Mishap(0, "vertex-3", "/projects", {"project": "sandbox-project-3", "state": "billing_disabled"}),
        Mishap(seconds * 0.1, "flow-2", "/faults", _six_times("429", "flow.video_*", "sandbox-st-2")),
        Mishap(seconds * 0.2, "key-3", "/faults", _six_times("500", "gemini.interaction_create", "sandbox-key-3")),
        Mishap(seconds * 0.3, "flow-5", "/faults", _six_times("500", "flow.video_*", "sandbox-st-5")),
        Mishap(seconds * 0.5, "key-1", "/keys", {"key": "sandbox-key-1", "state": "deleted"}, is_idle=True),
    )
    durations = ("fast_video_duration", "lite_video_duration", "omni_video_duration")
    return make_plan(
        seed,
        videos=videos,
        seconds=seconds,
        strikes=strikes,
        replicas=replicas,
        menu=_MENU,
        accounts=accounts,
        mishaps=mishaps,
        sandbox={name: str(clip_seconds) for name in durations},
        is_mix=True,
    )


def _six_times(kind: str, route: str, account: str) -> dict[str, object]:
    return {"kind": kind, "route": route, "account": account, "times": 6}


def _flow(number: int, video_limit: int, trouble: str = "") -> PlannedAccount:
    return PlannedAccount(f"flow-{number}", "flow", f"sandbox-st-{number}", video_limit, trouble=trouble)


def _key(number: int, video_limit: int, trouble: str = "") -> PlannedAccount:
    return PlannedAccount(f"key-{number}", "gemini", f"sandbox-key-{number}", video_limit, trouble=trouble)


def _service_account(number: int, video_limit: int, location: str, trouble: str = "") -> PlannedAccount:
    email = SERVICE_ACCOUNT.format(number)
    return PlannedAccount(f"vertex-{number}", "vertex", email, video_limit, location, trouble)
