#!/usr/bin/env bash
# Refuse a change of the contract that would break a peer built from the main branch.
# On a branch the base is origin/main. On main itself it is the last commit that is a day old, else the first one with a contract.
set -euo pipefail
buf=$1
head=$(git rev-parse HEAD)
base=$(git rev-parse --quiet --verify origin/main || true)
if [ -z "$base" ] || [ "$base" = "$head" ]; then
    base=$(git rev-list -1 --before='1 day ago' HEAD)
    if [ -z "$base" ] || ! git cat-file -e "$base:proto/buf.yaml" 2>/dev/null; then
        base=$(git log --diff-filter=A --format=%H -- proto/buf.yaml | tail -n 1)
    fi
fi
if [ -z "$base" ] || ! git cat-file -e "$base:proto/buf.yaml" 2>/dev/null; then
    echo "buf breaking: no earlier contract to compare with" >&2
    exit 0
fi
"$buf" breaking proto --against ".git#ref=$base,subdir=proto"
