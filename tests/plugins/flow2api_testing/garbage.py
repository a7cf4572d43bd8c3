"""What collecting leaves in memory is left alone by the garbage collector: it looked at it again and again, for a tenth
of the processor time of a run."""

from __future__ import annotations

import gc

import pytest

_ALLOCATIONS = 20_000
"""Between two looks at the youngest; 700 is for programs that hold less than six thousand tests."""


@pytest.hookimpl(trylast=True)
def pytest_collection_finish() -> None:
    """Once all tests and what they import are there."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(_ALLOCATIONS, 20, 20)
