#!/usr/bin/env bash
# Fail when the tracked stubs are not what proto/generate.py writes.
set -euo pipefail
bin=$(cd "$1" && pwd)
copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT
cp -r proto "$copy/proto"
PATH="$bin:$PATH" "$bin/python" "$copy/proto/generate.py"
diff --recursive --brief --exclude=__pycache__ proto/src/flow2api_proto "$copy/proto/src/flow2api_proto" \
    || { echo "the stubs are stale: run make proto" >&2; exit 1; }
