"""A connection to SQLite that leaves nothing locked, however it is closed."""

from __future__ import annotations

import sqlite3


class RollingBackConnection(sqlite3.Connection):
    """Rolls back before it closes.

    SQLite keeps a closed connection, and its locks, for as long as one of its statements lives. A task that is
    cancelled in the middle of a query leaves such a statement behind in the traceback of its CancelledError.
    Source: sqlite.org, "Closing A Database Connection", about sqlite3_close_v2.
    """

    def close(self) -> None:
        """Roll back what is under way, then close."""
        try:
            if self.in_transaction:
                self.rollback()
        finally:
            super().close()
