"""A token service in a process of its own, which a test can kill. Its clock is now plus the seconds in a file.

It writes its address into a second one.
"""

from __future__ import annotations

import asyncio
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

from flow2api_common.logs import configure_logging
from flow2api_common.settings import load_settings
from flow2api_token_service.composition import running_token_service
from flow2api_token_service.settings import TokenServiceSettings


async def serve(turned: Path, address: Path) -> None:
    def clock() -> datetime:
        return datetime.now(UTC) + timedelta(seconds=float(turned.read_text()))

    settings = load_settings(TokenServiceSettings)
    configure_logging(settings, "token")
    async with running_token_service(settings, clock=clock) as running:
        await asyncio.to_thread(address.write_text, running.address)
        await running.wait()


if __name__ == "__main__":
    asyncio.run(serve(Path(sys.argv[1]), Path(sys.argv[2])))
