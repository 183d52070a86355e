#!/usr/bin/env bash
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

# What was built stays until the source or the list of dependencies changes.
sources=$(cat pom.xml src/main/java/*.java | sha256sum)
if [[ ! -f target/built || "$(cat target/built)" != "$sources" ]]; then
  rm -rf target
  mvn --quiet --batch-mode --no-transfer-progress -Dstyle.color=never compile dependency:copy-dependencies >&2
  printf '%s\n' "$sources" > target/built
fi
exec java -cp 'target/classes:target/lib/*' Suite
