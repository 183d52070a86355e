#!/usr/bin/env bash
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

# The stamp is the lock file that was installed: a changed one installs anew.
if ! cmp -s package-lock.json node_modules/.installed.json; then
  npm ci --silent --no-audit --no-fund >&2
  cp package-lock.json node_modules/.installed.json
fi
exec node suite.mjs
