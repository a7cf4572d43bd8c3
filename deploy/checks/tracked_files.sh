#!/usr/bin/env bash
# Fail when a tracked file names the host of a package registry, holds a private key, or should not be tracked at all.
set -euo pipefail
status=0
fail() { echo "$1" >&2; status=1; }
git grep --untracked -nIE 'pypi[.]org|pythonhosted[.]org|npmjs[.](org|com)|deb[.]debian[.]org|index-url[ =]' -- . \
    && fail 'a tracked file names a package registry'
git grep --untracked -nIE -e '-----BEGIN (RSA |EC )?PRIVATE KEY-----($|\\n[A-Za-z0-9+/]{40})' -- . ':!docs/upstream' && fail 'a tracked file holds a private key'
git ls-files | grep -E '(^|/)(uv\.lock|\.env|secrets\.toml)$|\.(pyc|sqlite|db)$' && fail 'these files must not be tracked'
big=$(git ls-files -z | xargs -0 -r du -k 2>/dev/null | awk '$1 > 1024 {print $2}')
[ -z "$big" ] || fail "larger than 1 MiB: $big"
exit $status
