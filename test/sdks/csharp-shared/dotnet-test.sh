#!/usr/bin/env bash
# Runs the suite in the current folder.
set -euo pipefail

if ! command -v dotnet > /dev/null; then
  echo 'no dotnet on this machine: the C# suite was not run'
  exit 0
fi

# The test runner keeps what a test prints to itself, so the scenarios' lines come by a file.
SCENARIO_REPORT=$(mktemp)
export SCENARIO_REPORT
trap 'rm -f "$SCENARIO_REPORT"' EXIT
status=0
dotnet test --nologo --verbosity quiet >&2 || status=$?
cat "$SCENARIO_REPORT"
exit "$status"
