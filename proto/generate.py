"""Write the Python stubs of every .proto file into src/flow2api_proto.

protoc names Python modules after the proto path (``flow2api/tokens/v1/…``); our distribution is called
``flow2api_proto``, so the ``flow2api`` package is taken off the paths and the imports are rewritten to match.
Run by ``make proto``; CI fails on a diff.
"""

from __future__ import annotations

import re
import shutil
import sys
import tempfile
from importlib.resources import files
from pathlib import Path

from grpc_tools import protoc

ROOT = Path(__file__).resolve().parent
PACKAGE = ROOT / "src" / "flow2api_proto"

_IMPORT = re.compile(r"^(from|import) flow2api\.", re.MULTILINE)


def main() -> int:
    sources = sorted((ROOT / "flow2api").rglob("*.proto"))
    with tempfile.TemporaryDirectory() as scratch:
        out = Path(scratch)
        status = protoc.main(
            [
                "protoc",
                f"-I{ROOT}",
                f"-I{files('grpc_tools') / '_proto'}",
                f"--python_out={out}",
                f"--grpc_python_out={out}",
                f"--mypy_out=quiet:{out}",
                f"--mypy_grpc_out=quiet:{out}",
                *map(str, sources),
            ]
        )
        if status:
            return int(status)
        _replace_package(out / "flow2api")
    return 0


def _replace_package(generated: Path) -> None:
    for area in generated.iterdir():
        shutil.rmtree(PACKAGE / area.name, ignore_errors=True)
    for path in sorted([*generated.rglob("*.py"), *generated.rglob("*.pyi")]):
        target = PACKAGE / path.relative_to(generated)
        target.parent.mkdir(parents=True, exist_ok=True)
        text = _IMPORT.sub(r"\1 flow2api_proto.", path.read_text())
        target.write_text(text.rstrip() + "\n")
    for folder in {path.parent for path in PACKAGE.rglob("*_pb2.py")}:
        for parent in (folder, folder.parent):
            (parent / "__init__.py").touch()


if __name__ == "__main__":
    sys.exit(main())
