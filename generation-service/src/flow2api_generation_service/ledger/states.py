"""The states of a ledger entry and the moves between them.

::

    reserved ─> charged ─┬─> settled
        │  └─────┐  │    └─> released
        │        v  v
        │      disputed ─> charged, settled, released
        └─> settled, released

``charged``: the upstream has accepted the call and taken its price, and may still give it back (a generation that fails
or is filtered is not charged: docs/upstream/flow.md, section 4). ``disputed``: whether it took anything is not known.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final


class EntryState(StrEnum):
    """Where an entry stands; the values are those of the database and of flow2api.generation.v1.LedgerState."""

    RESERVED = "reserved"
    CHARGED = "charged"
    DISPUTED = "disputed"
    SETTLED = "settled"
    RELEASED = "released"


OPEN_STATES: Final = frozenset({EntryState.RESERVED, EntryState.CHARGED, EntryState.DISPUTED})
CLOSED_STATES: Final = frozenset(EntryState) - OPEN_STATES

MOVES: Final[Mapping[EntryState, frozenset[EntryState]]] = MappingProxyType(
    {
        EntryState.RESERVED: frozenset(
            {EntryState.CHARGED, EntryState.DISPUTED, EntryState.SETTLED, EntryState.RELEASED}
        ),
        EntryState.CHARGED: frozenset({EntryState.DISPUTED, EntryState.SETTLED, EntryState.RELEASED}),
        EntryState.DISPUTED: frozenset({EntryState.CHARGED, EntryState.SETTLED, EntryState.RELEASED}),
        EntryState.SETTLED: frozenset(),
        EntryState.RELEASED: frozenset(),
    }
)


class Fate(StrEnum):
    """What becomes of a charge when its job ends."""

    FOLLOWED = "followed"
    """The upstream still works on it, and what it reports decides."""
    KEPT = "kept"
    """The upstream made what it was asked for."""
    GIVEN_BACK = "given_back"
    """The upstream failed or refused, and charges nothing for that."""
    UNKNOWN = "unknown"
    """Nobody can tell."""
