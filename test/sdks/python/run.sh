#!/usr/bin/env bash
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

# The stamp is the list that was installed: a changed list installs anew.
if ! cmp -s requirements.txt .venv/installed.txt; then
  rm -rf .venv
  python3 -m venv .venv
  .venv/bin/python -m pip install --quiet --disable-pip-version-check --requirement requirements.txt >&2
  cp requirements.txt .venv/installed.txt
fi
exec .venv/bin/python suite.py
