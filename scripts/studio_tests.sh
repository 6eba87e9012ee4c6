#!/usr/bin/env bash
# Runs the tests of the studio: Debian's Chromium on `prax serve` with the embedded model.
# usage: scripts/studio_tests.sh PRAX_BINARY [PLAYWRIGHT OPTIONS...]
#   PRAX_PICTURES=docs/images takes the pictures of docs/studio.md, too.
set -euo pipefail
cd "$(dirname "$0")/.."

PRAX_BINARY=$(realpath "$1")
export PRAX_BINARY
shift
if [[ -n ${PRAX_PICTURES:-} ]]; then
  PRAX_PICTURES=$(realpath -m "$PRAX_PICTURES")
  export PRAX_PICTURES
fi
for tool in npm "${PRAX_CHROMIUM:-chromium}"; do
  if ! command -v "$tool" >/dev/null; then
    if [[ -n ${CI:-} ]]; then
      echo "$tool is not installed: apt-get install nodejs npm chromium" >&2
      exit 1
    fi
    echo "skipped: $tool is not installed" >&2
    exit 77
  fi
done
scripts/build_studio.sh
scripts/studio_packages.sh
cd studio
exec npx --no-install playwright test "$@"
