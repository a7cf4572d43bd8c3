"""Folders of tests that share what is slow to start: with several processes, one of them runs the whole folder."""

from __future__ import annotations

from typing import Any, Final

import pytest
from xdist.scheduler import LoadFileScheduling  # type: ignore[import-untyped] # The library has no types.

SHARED_FOLDERS: Final = ("tests/sdks/",)


class LoadFolderScheduling(LoadFileScheduling):  # type: ignore[misc] # For the same reason.
    """``--dist loadfile``, in which a shared folder counts as one file."""

    def _split_scope(self, nodeid: str) -> str:
        path = str(super()._split_scope(nodeid))
        return next((folder for folder in SHARED_FOLDERS if path.startswith(folder)), path)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadFolderScheduling | None:
    """Only where files were asked to stay together."""
    return LoadFolderScheduling(config, log) if config.getoption("dist") == "loadfile" else None
