"""How far the resident memory of processes rises while something is done, as the kernel keeps it (Linux)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import psutil

# Sets the high-water mark of a process to what it has now. Source: proc(5), /proc/pid/clear_refs.
_RESET_PEAK = "5"
_KIB = 1024


class PeakMemory:
    """Watches processes, and their children, from the moment at which it is made."""

    def __init__(self, pids: Mapping[str, int]) -> None:
        self._pids = pids
        self._before: dict[int, int] = {}
        for pid in self._all().values():
            Path(f"/proc/{pid}/clear_refs").write_text(_RESET_PEAK)
            self._before[pid] = _field(pid, "VmRSS")

    def extra_bytes(self) -> dict[str, int]:
        """The peak of each process since then less what it had, by name. Of one that came since, all of its peak."""
        return {name: _field(pid, "VmHWM") - self._before.get(pid, 0) for name, pid in self._all().items()}

    def before_bytes(self) -> dict[str, int]:
        """What each process had then, by name; 0 for one that came since."""
        return {name: self._before.get(pid, 0) for name, pid in self._all().items()}

    def peak_bytes(self) -> dict[str, int]:
        """The peak of each process since then, by name."""
        return {name: _field(pid, "VmHWM") for name, pid in self._all().items()}

    def _all(self) -> dict[str, int]:
        found = dict(self._pids)
        for name, pid in self._pids.items():
            for child in psutil.Process(pid).children(recursive=True):
                found[f"{name}/{child.name()}-{child.pid}"] = child.pid
        return found


def _field(pid: int, name: str) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        field, _, value = line.partition(":")
        if field == name:
            return int(value.split()[0]) * _KIB
    return 0  # it has just ended
