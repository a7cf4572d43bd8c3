"""``python -m flow2api_sandbox``: the sandbox alone, until a signal ends it.

Prints one line of JSON with its addresses when it listens.
"""

import argparse
import asyncio
import json
import sys
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from flow2api_sandbox.control import AccountChange, apply_account_change
from flow2api_sandbox.server import RunningSandbox, base_url_of, bind, make_server
from flow2api_sandbox.settings import SandboxSettings
from flow2api_sandbox.world import World

_ACCOUNTS: TypeAdapter[list[AccountChange]] = TypeAdapter(list[AccountChange])


def main(arguments: list[str] | None = None) -> None:
    """Read the command line over the environment, and serve."""
    options = _parser().parse_args(arguments)
    accounts_file: Path | None = options.accounts_file
    accounts = _ACCOUNTS.validate_json(accounts_file.read_bytes()) if accounts_file else []
    given: dict[str, Any] = {
        name: value for name, value in vars(options).items() if value is not None and name != "accounts_file"
    }
    asyncio.run(_serve(SandboxSettings(**given), accounts))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m flow2api_sandbox", description=__doc__)
    parser.add_argument("--host", help="address to listen on (default 127.0.0.1)")
    parser.add_argument("--port", type=int, help="port to listen on; 0 takes a free one (default 8090)")
    parser.add_argument("--time-scale", type=float, help="factor on every duration; 0 = at once (default 1)")
    parser.add_argument("--accounts-file", type=Path, help="JSON list of accounts, as POST /_sandbox/accounts takes")
    return parser


async def _serve(settings: SandboxSettings, accounts: list[AccountChange]) -> None:
    world = World(settings)
    for change in accounts:
        apply_account_change(world, change)
    listener = bind(settings)
    sandbox = RunningSandbox(base_url=base_url_of(listener), world=world)
    sys.stdout.write(json.dumps(sandbox.urls()) + "\n")
    sys.stdout.flush()
    await make_server(settings, world, takes_signals=True).serve(sockets=[listener])


if __name__ == "__main__":
    main()
