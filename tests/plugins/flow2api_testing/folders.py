"""How test files are dealt to the processes of a run: folders that share what is slow to start stay together, and what
takes longest begins first."""

from __future__ import annotations

import os
from typing import Any, Final

import pytest
from xdist.scheduler import LoadFileScheduling  # type: ignore[import-untyped] # The library has no types.

SHARED_FOLDERS: Final = ("tests/sdks/",)
# Minutes each. Begun last, one of them would keep a single process busy when all others have ended.
LONG_FOLDERS: Final = ("tests/chaos/", "tests/sdks/")


class LoadFolderScheduling(LoadFileScheduling):  # type: ignore[misc] # For the same reason.
    """``--dist loadfile``, in which a shared folder counts as one file."""

    def _split_scope(self, nodeid: str) -> str:
        path = str(super()._split_scope(nodeid))
        return next((folder for folder in SHARED_FOLDERS if path.startswith(folder)), path)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadFolderScheduling | None:
    """Only where files were asked to stay together."""
    if config.getoption("dist") != "loadfile":
        return None
    # Left alone, files with the fewest tests come last, and those are the longest ones here.
    config.option.loadscopereorder = False
    return LoadFolderScheduling(config, log)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Long folders first; among themselves, and the rest, stay in the random order."""
    items.sort(key=lambda item: not item.nodeid.startswith(LONG_FOLDERS))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """``--numprocesses auto``: three for two cores, as most tests wait for servers and programs half of their time."""
    return max(2, len(os.sched_getaffinity(0)) * 3 // 2)
